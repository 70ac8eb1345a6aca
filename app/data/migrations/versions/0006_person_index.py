"""Recordings of a person within a tenant, in the order of the list."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_index("recordings_person", "recordings")
    op.create_index("recordings_person", "recordings", ["person", "tenant", "day", "session"])


def downgrade() -> None:
    op.drop_index("recordings_person", "recordings")
    op.create_index("recordings_person", "recordings", ["person", "day", "session"])
