"""Transcription jobs, and the parts of their files in the blob store."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

MOMENT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", MOMENT, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("due", MOMENT, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("language", sa.String),
        sa.Column("person", sa.String),
        sa.Column("length", sa.BigInteger),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("attended", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("seconds_done", sa.Float, nullable=False),
        sa.Column("seconds_total", sa.Float),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("warnings", sa.Text, nullable=False),
        sa.Column("finished", MOMENT),
        sa.Column("has_remains", sa.Boolean, nullable=False),
    )
    op.create_index("jobs_state", "jobs", ["state", "due"])
    op.create_index("jobs_tenant", "jobs", ["tenant", "id"])
    op.create_table(
        "file_parts",
        sa.Column("job", MOMENT, primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("key", sa.String, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("file_parts")
    op.drop_table("jobs")
