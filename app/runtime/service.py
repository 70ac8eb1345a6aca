"""What the whole process offers: sessions, up to a number."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from app.domain.decision import Record, Wanted
from app.domain.floor import Floor
from app.domain.ports import BlobStore
from app.domain.summary import RouteSummary
from app.runtime.clock import SystemClock
from app.runtime.engines import Engines
from app.runtime.recorder import recording
from app.runtime.routes import Routes
from app.runtime.session import Client, run_session
from app.runtime.telemetry import Telemetry


class Decisions(Protocol):
    """Where decisions are kept."""

    async def find(self, wanted: Wanted) -> list[Record]: ...

    async def summary(self, wanted: Wanted) -> Sequence[RouteSummary]: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Where finals go, and what became of them."""

    routes: Routes
    decisions: Decisions
    metrics: Callable[[], bytes]
    refused_change: Callable[[], str]
    """Why the newest rules file is not in force; empty where it is."""


@dataclass(slots=True)
class Service:
    session_engines: Callable[[str], AbstractAsyncContextManager[Engines]]
    """The engines as the session of this name sees them."""
    store: BlobStore
    floor: Floor
    """Every session begins with it."""
    max_sessions: int
    allowed_origins: tuple[str, ...] = ()
    description: tuple[tuple[str, str], ...] = ()
    """What runs, in words: a name and a sentence each."""
    policy: Policy | None = None
    """None where finals come from one engine, whatever happens."""
    sessions: set[str] = field(default_factory=set)

    @property
    def has_room(self) -> bool:
        return len(self.sessions) < self.max_sessions

    async def run(self, session: str, client: Client) -> None:
        """Serve one client until it has left and what it said is stored."""
        clock = SystemClock()
        self.sessions.add(session)
        try:
            async with (
                recording(self.store, session, now=lambda: datetime.now(UTC)) as recorder,
                self.session_engines(session) as engines,
            ):
                telemetry = Telemetry(session, clock)
                await run_session(client, engines, self.floor, clock=clock, recorder=recorder, telemetry=telemetry)
        finally:
            self.sessions.remove(session)
