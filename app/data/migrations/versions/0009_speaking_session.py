"""Which session speaks in a conversation."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("speaking_session", sa.String, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("conversations", "speaking_session")  # in place: a copy of the table would lose SQLite's triggers
