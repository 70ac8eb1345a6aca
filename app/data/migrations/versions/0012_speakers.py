"""Who said a message, where speakers are told apart."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("messages", sa.Column("speaker", sa.Integer))


def downgrade() -> None:
    op.drop_column("messages", "speaker")  # in place: a copy of the table would lose SQLite's triggers
