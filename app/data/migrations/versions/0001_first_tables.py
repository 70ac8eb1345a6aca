"""Decisions, expenses, spending, audit log, live sessions, API keys and signing secrets.

Earlier releases made these tables without a version. What of them is there is left as it is, and what is missing made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("session", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("route", sa.String, nullable=False),
        sa.Column("place", sa.String, nullable=False),
        sa.Column("usd", sa.Float, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("decisions_at", "decisions", ["at"], if_not_exists=True)
    op.create_index("decisions_session", "decisions", ["session"], if_not_exists=True)
    op.create_table(
        "expenses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("route", sa.String, nullable=False),
        sa.Column("occasion", sa.String, nullable=False),
        sa.Column("usd", sa.Float, nullable=False),
        sa.Column("session", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("uid", sa.String),
        if_not_exists=True,
    )
    if not any(column["name"] == "uid" for column in sa.inspect(op.get_bind()).get_columns("expenses")):
        op.add_column("expenses", sa.Column("uid", sa.String))
    op.create_index("expenses_at", "expenses", ["at"], if_not_exists=True)
    op.create_index("expenses_uid", "expenses", ["uid"], unique=True, if_not_exists=True)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("scopes", sa.String, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("expires", MOMENT),
        sa.Column("revoked", MOMENT),
        sa.Column("last_used", MOMENT),
        if_not_exists=True,
    )
    op.create_table(
        "signing_secrets",
        sa.Column("kid", sa.String, primary_key=True),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "spend",
        sa.Column("day", MOMENT, primary_key=True),
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("process", sa.String, primary_key=True),
        sa.Column("usd", sa.Float, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", MOMENT, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("key_name", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("peer", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("audit_at", "audit", ["at"], if_not_exists=True)
    op.create_index("audit_target", "audit", ["target"], if_not_exists=True)
    op.create_table(
        "live_processes",
        sa.Column("process", sa.String, primary_key=True),
        sa.Column("seen", MOMENT, nullable=False),
        sa.Column("sessions", sa.Text, nullable=False),
        if_not_exists=True,
    )


def downgrade() -> None:
    for table in ("live_processes", "audit", "spend", "signing_secrets", "api_keys", "expenses", "decisions"):
        op.drop_table(table)
