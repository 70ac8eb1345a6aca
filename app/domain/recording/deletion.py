"""What the deletion of a session deleted, where, and what remains."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeletionReceipt:
    session: str
    tenant: str
    at: str
    """ISO 8601, UTC."""
    deleted: Mapping[str, int]
    """How many of each: `blobs`, `spoolLogs`, `uploads`, `decisions`, `expenses`."""
    remaining: tuple[str, ...] = ()
    """What a store or a backup keeps, and until when; a sentence each."""
