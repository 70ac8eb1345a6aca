"""A lease: what is known of work that one process at a time does for all that share a database."""

from dataclasses import dataclass

INDEXING, RETENTION = "recordings_indexing", "recordings_retention"
"""Names of such work."""


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    was_completed: bool
    """Whether the work was done to its end at least once."""
    progress: int = 0
    """As its last holder has reported."""
