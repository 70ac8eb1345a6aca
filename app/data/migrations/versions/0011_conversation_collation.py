"""The conversation of a message sorts as the id of a conversation does, so that a join of both uses the index."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    sort_conversation_by("C")


def downgrade() -> None:
    sort_conversation_by("default")


def sort_conversation_by(collation: str) -> None:
    """PostgreSQL builds the index of the column anew; SQLite sorts every text by bytes."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("messages", "conversation", type_=sa.String(collation=collation), existing_nullable=False)
