"""What the whole process offers: sessions, up to a number."""

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.dialog.state import DialogState
from app.domain.ports import BlobStore
from app.domain.routing.decision import DecisionFilter, DecisionRecord
from app.domain.routing.summary import RouteSummary
from app.domain.tenant import OPEN, Tenant, identify
from app.runtime.clock import SystemClock
from app.runtime.dialog.engines import Engines
from app.runtime.dialog.session import SessionClient, run_session
from app.runtime.dialog.telemetry import TurnTelemetry
from app.runtime.jobs.upload import BatchTranscriber, RecordingSource
from app.runtime.recording.resumable_uploads import ResumableUploads
from app.runtime.recording.uploader import Uploader
from app.runtime.routing.routes import Routes
from app.runtime.speech_capacity import SpeechCapacity


class DecisionStore(Protocol):
    """Where decisions are kept."""

    async def find(self, wanted: DecisionFilter) -> list[DecisionRecord]: ...

    async def summary(self, wanted: DecisionFilter) -> Sequence[RouteSummary]: ...


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """Where finals go, and what became of them."""

    routes: Routes
    decisions: DecisionStore
    metrics: Callable[[], bytes]
    refused_change: Callable[[], str]
    """Why the newest rules file is not in force; empty where it is."""


@dataclass(slots=True)
class Service:
    session_engines: Callable[[str, Tenant], AbstractAsyncContextManager[Engines]]
    """The engines as the session of this name sees them."""
    uploader: Uploader
    initial_state: DialogState
    """Every session begins with it."""
    max_sessions: int
    allowed_origins: tuple[str, ...] = ()
    tenants: Callable[[], Sequence[Tenant]] | None = None
    """Who may come in; None: everyone, without a key."""
    batch_transcriber: BatchTranscriber | None = None
    """Who writes down uploaded recordings, on this machine; None: none are taken."""
    source: RecordingSource | None = None
    """Where recordings can be fetched from by a link."""
    uploads: ResumableUploads | None = None
    """Uploads under way; None: they cannot be resumed."""
    max_recording_bytes: int = 512 << 20
    """Bytes an uploaded file may have."""
    description: tuple[tuple[str, str], ...] = ()
    """What runs, in words: a name and a sentence each."""
    hearing: SpeechCapacity | None = None
    """The speech models in this process, where there are any."""
    policy: RoutingPolicy | None = None
    """None where finals come from one engine, whatever happens."""
    sessions: dict[str, str] = field(default_factory=dict)
    """Those that are open, and the name of each one's tenant."""

    @property
    def has_room(self) -> bool:
        return len(self.sessions) < self.max_sessions and self.uploader.has_space

    def identify(self, key: str | None) -> Tenant | None:
        """Who comes with this key; None: nobody who may come in."""
        if self.tenants is None:
            return OPEN
        return identify(key, self.tenants()) if key else None

    def tenant(self, name: str) -> Tenant:
        """The tenant of this name, as far as it is known."""
        return next((t for t in (self.tenants or tuple)() if t.name == name), Tenant(name))

    def no_room_for(self, tenant: Tenant) -> str | None:
        """Why this tenant cannot have one more session now; None where it can."""
        if not self.has_room:
            return "every place is taken; try again in a moment"
        inside = sum(name == tenant.name for name in self.sessions.values())
        if tenant.max_sessions is not None and inside >= tenant.max_sessions:
            return f"every one of your {tenant.max_sessions} places is taken; end a session first"
        return None

    @property
    def store(self) -> BlobStore:
        return self.uploader.store

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """What goes on beside the sessions."""
        async with self.uploader.running():
            yield

    async def run(self, session: str, client: SessionClient, tenant: Tenant) -> None:
        """Serve one client until it has left and what it said is on the disk."""
        clock = SystemClock()
        self.sessions[session] = tenant.name
        try:
            async with (
                self.uploader.record_session(session, tenant, acknowledge=client.acknowledge) as recorder,
                self.session_engines(session, tenant) as engines,
            ):
                telemetry = TurnTelemetry(session, clock)
                await run_session(
                    client, engines, self.initial_state, clock=clock, recorder=recorder, telemetry=telemetry
                )
        finally:
            del self.sessions[session]


def new_session_id() -> str:
    """A UUID of version 7: it begins with the time, so that a session's day can be told from its id."""
    milliseconds = time.time_ns() // 1_000_000
    chance = secrets.randbits(74)
    number = milliseconds << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | chance & (1 << 62) - 1
    return f"{number:032x}"
