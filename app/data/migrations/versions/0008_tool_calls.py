"""Tools that were called for a reply."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("messages", sa.Column("tool_calls", sa.Text))


def downgrade() -> None:
    op.drop_column("messages", "tool_calls")  # in place, also on SQLite: a copy of the table would lose its triggers
