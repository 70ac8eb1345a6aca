"""What the whole process offers: sessions, up to a number."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.domain.floor import Floor
from app.domain.ports import BlobStore
from app.runtime.clock import SystemClock
from app.runtime.engines import Engines
from app.runtime.recorder import recording
from app.runtime.session import Client, run_session
from app.runtime.telemetry import Telemetry


@dataclass(slots=True)
class Service:
    session_engines: Callable[[], AbstractAsyncContextManager[Engines]]
    """The engines as one session sees them."""
    store: BlobStore
    floor: Floor
    """Every session begins with it."""
    max_sessions: int
    allowed_origins: tuple[str, ...] = ()
    description: tuple[tuple[str, str], ...] = ()
    """What runs, in words: a name and a sentence each."""
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
                self.session_engines() as engines,
            ):
                telemetry = Telemetry(session, clock)
                await run_session(client, engines, self.floor, clock=clock, recorder=recorder, telemetry=telemetry)
        finally:
            self.sessions.remove(session)
