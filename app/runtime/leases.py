"""Leases: work that one process at a time does for all that share a database."""

from typing import Protocol

from app.domain.lease import LeaseStatus


class Leases(Protocol):
    """Every method raises ProviderBusy where the database is unavailable."""

    async def take(self, work: str, seconds: float, *, progress: int = 0) -> bool:
        """Take this work, or hold it for longer. False where another process holds it."""
        ...

    async def release(self, work: str, *, completed: bool) -> None:
        """Let others have it."""
        ...

    async def status(self, work: str) -> LeaseStatus: ...
