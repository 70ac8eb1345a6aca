"""Live sessions of all processes that share a database: whether a recording is live, whoever records it."""

from collections.abc import Collection
from typing import Protocol


class LiveSessions(Protocol):
    """Each process announces its own. Every method raises ProviderBusy where the database is unavailable."""

    async def announce(self, sessions: Collection[str]) -> None:
        """These are live in this process, and no others; good for half a minute."""
        ...

    async def everywhere(self) -> frozenset[str]:
        """Live in any process, as far as announced."""
        ...


class OwnSessionsAlone:
    """There is no database to share: of other processes nothing is known."""

    async def announce(self, sessions: Collection[str]) -> None:
        """Nobody asks."""

    async def everywhere(self) -> frozenset[str]:
        return frozenset()
