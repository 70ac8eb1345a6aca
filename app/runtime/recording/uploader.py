"""From the local disk into the store: behind the sessions, and through every failure of the store."""

import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import anyio
import structlog

from app.domain.errors import BlobNotFound, ParleyError, ProviderError
from app.domain.ports import BlobStore
from app.domain.tenant import OPEN, Tenant
from app.runtime.recording import journal as jr
from app.runtime.recording.journal import read_journal
from app.runtime.recording.recorder import WRITE_EVERY_S, Recorder, ignore_acknowledgement
from app.runtime.recording.recording_store import RecordingRef, RecordingStore
from app.runtime.recording.session_log import SessionLog
from app.runtime.recording.session_upload import SessionUpload

AudioFormat = Literal["flac", "opus"]
LAST_UPLOADS_S = 10.0
"""How long the end of the process waits for a store that answers; the rest waits for the next start."""
SWEEP_EVERY_S = 3600.0

_log = structlog.get_logger("parley.archive")


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class UploaderStatus:
    """What an operator wants to know."""

    waiting: int
    """Sessions that are not whole in the store, the living ones included."""
    bytes: int
    """On the local disk."""
    oldest_s: float
    """How long the oldest of them waits for the store."""
    full: bool
    """New sessions are refused."""
    error: str | None
    """The code of the store's last failure, until it works again."""


@dataclass(slots=True)
class Uploader:
    session_log: SessionLog
    store: BlobStore
    now: Callable[[], datetime] = utc_now
    jitter: Callable[[], float] = random.random
    archive_by_default: bool = True
    """Whether a session that does not say is kept, where its tenant does not say either."""
    audio: AudioFormat = "flac"
    chunk_ms: int = 10_000
    write_every_s: float = WRITE_EVERY_S
    disk_timeout_s: float = 30.0
    keep_days: int = 0
    """0: for ever."""
    tenant_keep_days: Callable[[], Mapping[str, int]] = dict
    """The same, for tenants that have their own."""
    uploads_at_once: int = 16
    first_pause_s: float = 0.5
    """After a failure; each further one doubles it."""
    longest_pause_s: float = 60.0
    live_sessions: set[str] = field(default_factory=set)
    error: ProviderError | None = None
    _due: dict[str, float] = field(default_factory=dict)
    """Sessions with something to store, and since when; in the order they are served."""
    _busy: dict[str, float] = field(default_factory=dict)
    _stuck: dict[str, float] = field(default_factory=dict)
    _failures: int = 0
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def has_space(self) -> bool:
        return self.session_log.has_space

    @property
    def recordings(self) -> RecordingStore:
        return RecordingStore(self.store)

    def status(self) -> UploaderStatus:
        waiting = self._stuck | self._due | self._busy
        oldest = min(waiting.values(), default=anyio.current_time())
        return UploaderStatus(
            waiting=len(self.live_sessions | waiting.keys()),
            bytes=self.session_log.size_bytes,
            oldest_s=round(anyio.current_time() - oldest, 1),
            full=not self.has_space,
            error=self.error.code if self.error else None,
        )

    @asynccontextmanager
    async def record_session(
        self, session: str, tenant: Tenant = OPEN, *, acknowledge: Callable[[int], None] = ignore_acknowledgement
    ) -> AsyncGenerator[Recorder, None]:
        """Record a session; what is left at the end is written even when the session is cancelled."""
        recorder = Recorder(
            self.session_log,
            jr.SessionOpened(session, _iso(self.now()), self.audio, tenant.name),
            enabled=self.archive_by_default if tenant.archive is None else tenant.archive,
            chunk_ms=self.chunk_ms,
            write_every_s=self.write_every_s,
            disk_timeout_s=self.disk_timeout_s,
            acknowledge=acknowledge,
            chunk_closed=lambda: self._is_due(session),
        )
        self.live_sessions.add(session)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(recorder.run)
                try:
                    yield recorder
                finally:
                    with anyio.CancelScope(shield=True):
                        await recorder.finish(_iso(self.now()))
                    tasks.cancel_scope.cancel()
        finally:
            self.live_sessions.remove(session)
            if recorder.written:
                self._is_due(session)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Store what an earlier process left, then what this one records; until the end."""
        for session, age in await self.session_log.sessions():
            self._is_due(session, anyio.current_time() - age)
        async with anyio.create_task_group() as tasks:
            for _ in range(self.uploads_at_once):
                tasks.start_soon(self._upload_for_ever)
            tasks.start_soon(self._sweep_for_ever)
            try:
                yield
            finally:
                with anyio.move_on_after(LAST_UPLOADS_S, shield=True):
                    await self.wait_until_idle()
                tasks.cancel_scope.cancel()

    async def wait_until_idle(self) -> None:
        """Until everything that is over is stored, or the store fails."""
        while (self._due or self._busy) and not self.error:
            await self._changed.wait()

    async def owner(self, session: str) -> str | None:
        """The name of the tenant it belongs to; None where nothing is known of it. Raises a ProviderError."""
        if opened := (await read_journal(self.session_log, session)).opened:
            return opened.tenant
        try:
            return (await self.recordings.manifest(session)).tenant
        except BlobNotFound:
            return None

    async def delete(self, session: str, tenant: str) -> bool:
        """Remove every trace of a tenant's session that is over; False where there was none. Raises a ProviderError."""
        self._due.pop(session, None)
        while session in self._busy:
            await self._changed.wait()
        self._due.pop(session, None)
        spooled = await self.session_log.log_names(session)
        await self.session_log.remove_session(session)
        return await self.recordings.delete(session, tenant) or bool(spooled)

    def _is_due(self, session: str, since: float | None = None) -> None:
        self._due.setdefault(session, anyio.current_time() if since is None else since)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _upload_for_ever(self) -> None:
        while True:
            session = await self._next()
            failed = False
            try:
                await SessionUpload(
                    self.session_log, self.store, session, session in self.live_sessions, self._store_works
                ).run()
            except ProviderError as error:
                failed = True
                if self._failures == 0:
                    _log.warning("store fails", kind=type(error).__name__, message=str(error))
                self._failures, self.error = self._failures + 1, error
            except Exception:  # noqa: BLE001 because one session that cannot be stored must not stop the others; it is tried again at the next start
                self._stuck[session] = self._busy[session]
                _log.exception("session cannot be stored", session=session)
            else:
                self._store_works()
            finally:
                since = self._busy.pop(session)
                if failed:
                    self._due[session] = min(since, self._due.get(session, since))
                self._notify()
            if failed:
                pause = min(self.longest_pause_s, self.first_pause_s * 2 ** min(self._failures, 16))
                await anyio.sleep(pause * (0.5 + self.jitter() / 2))

    def _store_works(self) -> None:
        self._failures, self.error = 0, None

    async def _next(self) -> str:
        """The next session nobody stores at the moment."""
        while True:
            for session in self._due:
                if session not in self._busy:
                    self._busy[session] = self._due.pop(session)
                    return session
            await self._changed.wait()

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except ParleyError as error:
                _log.warning("old recordings stay", message=str(error))
            await anyio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> int:
        """Delete what is older than it may be; how many."""
        own = self.tenant_keep_days()
        if not self.keep_days and not any(own.values()):
            return 0
        async with aclosing(self.recordings.sessions()) as sessions:
            old = [found async for found in sessions if self._is_old(found, own.get(found.tenant, self.keep_days))]
        for found in old:
            await self.delete(found.session, found.tenant)
        return len(old)

    def _is_old(self, found: RecordingRef, days: int) -> bool:
        oldest = (self.now() - timedelta(days=days)).date().isoformat()
        return days > 0 and found.day < oldest and found.session not in self.live_sessions


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
