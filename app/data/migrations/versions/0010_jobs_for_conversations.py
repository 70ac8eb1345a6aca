"""Jobs whose text is a message of a conversation."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
COLUMNS = ("conversation", "message_id", "profile")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("conversation", sa.String, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("message_id", ROW_NUMBER, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("profile", sa.String, nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        for name in reversed(COLUMNS):
            jobs.drop_column(name)
