"""What the whole process offers: sessions, up to a number."""

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.decision import Record, Wanted
from app.domain.floor import Floor
from app.domain.ports import BlobStore
from app.domain.summary import RouteSummary
from app.runtime.archive import Archive
from app.runtime.clock import SystemClock
from app.runtime.engines import Engines
from app.runtime.hearing import Hearing
from app.runtime.ingest import Scribe, Source
from app.runtime.partial import PartialFiles
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
    archive: Archive
    floor: Floor
    """Every session begins with it."""
    max_sessions: int
    allowed_origins: tuple[str, ...] = ()
    scribe: Scribe | None = None
    """Who writes down uploaded recordings, on this machine; None: none are taken."""
    source: Source | None = None
    """Where recordings can be fetched from by a link."""
    partial: PartialFiles | None = None
    """Uploads under way; None: they cannot be resumed."""
    largest_recording: int = 512 << 20
    """Bytes an uploaded file may have."""
    description: tuple[tuple[str, str], ...] = ()
    """What runs, in words: a name and a sentence each."""
    hearing: Hearing | None = None
    """The speech models in this process, where there are any."""
    policy: Policy | None = None
    """None where finals come from one engine, whatever happens."""
    sessions: set[str] = field(default_factory=set)

    @property
    def has_room(self) -> bool:
        return len(self.sessions) < self.max_sessions and self.archive.has_room

    @property
    def store(self) -> BlobStore:
        return self.archive.store

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """What goes on beside the sessions."""
        async with self.archive.running():
            yield

    async def run(self, session: str, client: Client) -> None:
        """Serve one client until it has left and what it said is on the disk."""
        clock = SystemClock()
        self.sessions.add(session)
        try:
            async with (
                self.archive.recording(session, acknowledge=client.acknowledge) as recorder,
                self.session_engines(session) as engines,
            ):
                telemetry = Telemetry(session, clock)
                await run_session(client, engines, self.floor, clock=clock, recorder=recorder, telemetry=telemetry)
        finally:
            self.sessions.remove(session)


def new_session_id() -> str:
    """A UUID of version 7: it begins with the time, so that a session's day can be told from its id."""
    milliseconds = time.time_ns() // 1_000_000
    chance = secrets.randbits(74)
    number = milliseconds << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | chance & (1 << 62) - 1
    return f"{number:032x}"
