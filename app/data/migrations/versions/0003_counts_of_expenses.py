"""What an expense bought: tokens of a reply, characters of speech."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COLUMNS = ("prompt_tokens", "generated_tokens", "characters")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("expenses", sa.Column(name, sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("expenses") as expenses:
        for name in reversed(COLUMNS):
            expenses.drop_column(name)
