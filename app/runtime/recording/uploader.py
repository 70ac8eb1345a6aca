"""Uploads sessions from the session log to the blob store: behind the sessions, through every failure of the store."""

import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

import anyio
import structlog

from app.domain.errors import BlobNotFound, BlobUnreadable, ProviderError
from app.domain.ports import BlobStore
from app.domain.recording.deletion import DeletionReceipt
from app.domain.recording.session_id import parse_session_id
from app.domain.tenant import DEFAULT_TENANT, Tenant
from app.runtime.leases import Leases
from app.runtime.recording import journal as jr
from app.runtime.recording.first_indexing import FirstIndexing
from app.runtime.recording.index_writer import IndexWriter
from app.runtime.recording.journal import JournalReader, read_journal
from app.runtime.recording.live_sessions import LiveSessions, OwnSessionsAlone
from app.runtime.recording.recorder import WRITE_INTERVAL_S, Recorder, ignore_acknowledgement
from app.runtime.recording.recording_index import RecordingIndex
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.retention import Retention
from app.runtime.recording.session_log import SessionLog
from app.runtime.recording.session_upload import SessionUpload
from app.runtime.recording.upload_queue import UploadOutcome, UploadQueue
from app.runtime.supervision import report_defect, run_in_background
from app.runtime.tracing import tracer

AudioFormat = Literal["flac", "opus"]
DRAIN_TIMEOUT_S = 10.0
"""How long the end of the process waits for a store that answers; the rest is uploaded at the next start."""
READ_THREADS, ENCODING_THREADS = 8, 4
"""Limiters of their own, because finals need the threads of the default one."""

ANNOUNCE_EVERY_S = 5.0
"""How often the live sessions are announced to the other processes, besides when one begins or ends."""

_log = structlog.get_logger("parley.archive")


class SessionEraser(Protocol):
    """Something beside the archive that keeps data of sessions."""

    async def erase_session(self, session: str) -> Mapping[str, int]:
        """Delete or anonymise what belongs to the session: how many of each kind. Raises a ProviderError."""
        ...


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class UploaderStatus:
    """What an operator wants to know."""

    waiting: int
    """Sessions that are not whole in the store, live ones included."""
    bytes: int
    """In the session log."""
    oldest_s: float
    """How long the oldest of them waits for the store."""
    full: bool
    """New sessions are refused, because the session log or its disk is full."""
    error: str | None
    """The code of the store's last failure, until it works again."""


@dataclass(slots=True)
class Uploader:
    session_log: SessionLog
    store: BlobStore
    now: Callable[[], datetime] = utc_now
    jitter: Callable[[], float] = random.random
    archive_by_default: bool = True
    """Whether a session that does not say is recorded, where its tenant does not say either."""
    audio: AudioFormat = "flac"
    chunk_ms: int = 10_000
    write_interval_s: float = WRITE_INTERVAL_S
    disk_timeout_s: float = 30.0
    keep_days: int = 0
    """0: for ever."""
    tenant_keep_days: Callable[[], Mapping[str, int]] = dict
    """The same, for tenants that have their own."""
    concurrent_uploads: int = 16
    first_pause_s: float = 0.5
    """After a failure; each further one doubles it."""
    longest_pause_s: float = 60.0
    read_threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(READ_THREADS))
    """For reading recordings back."""
    encoding_threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(ENCODING_THREADS))
    """For encoding what is uploaded."""
    live_sessions: set[str] = field(default_factory=set)
    """In this process."""
    all_live_sessions: LiveSessions = field(default_factory=OwnSessionsAlone)
    index: RecordingIndex | None = None
    """None: there is no database, and recordings are not listed."""
    leases: Leases | None = None
    """The same: there are no other processes."""
    erasers: Sequence[SessionEraser] = ()
    after_deletion: Callable[[], Awaitable[Sequence[str]]] | None = None
    """Called after each deletion: what remains in the database for now, a sentence each."""
    """What else a deletion must reach."""
    held_sessions: set[str] = field(default_factory=set)
    """Sessions whose recording is being made of a file: their chunks are stored, their manifest by publish() alone."""
    error: ProviderError | None = None
    """The store's last failure, until it works again."""
    index_writer: IndexWriter = field(init=False)
    """Writes what is stored into the index."""
    first_indexing: FirstIndexing | None = field(default=None, init=False)
    """None: there is no index, or the uploader is not running yet."""
    _queue: UploadQueue = field(default_factory=UploadQueue)
    _uploads: dict[str, SessionUpload] = field(default_factory=dict)
    """Of live sessions."""
    _recorders: dict[str, Recorder] = field(default_factory=dict)
    """The same."""
    _live_changed: anyio.Event = field(default_factory=anyio.Event)
    _failures: int = 0
    """Of the store, in a row."""

    def __post_init__(self) -> None:
        self.index_writer = IndexWriter(
            self.session_log, lambda: self.recordings, self.first_pause_s, self.longest_pause_s, self.jitter
        )

    @property
    def has_space(self) -> bool:
        """Whether one more session may begin."""
        return self.session_log.has_space

    @property
    def recordings(self) -> RecordingStore:
        return RecordingStore(self.store, self.read_threads, self.index)

    @property
    def retention(self) -> Retention | None:
        """None: there is no database that says what has expired."""
        if self.index is None or self.leases is None:
            return None
        return Retention(
            self.recordings.tombstones,
            self.index,
            self.leases,
            self.delete,
            self.incomplete_everywhere,
            self.now,
            self.keep_days,
            self.tenant_keep_days,
        )

    def is_incomplete(self, session: str) -> bool:
        """Whether the session is live, or its recording is still being made of a file."""
        return session in self.live_sessions or session in self.held_sessions

    def status(self) -> UploaderStatus:
        waiting = self._queue.waiting
        oldest = min(waiting.values(), default=anyio.current_time())
        return UploaderStatus(
            waiting=len(self.live_sessions | waiting.keys()),
            bytes=self.session_log.size_bytes,
            oldest_s=round(anyio.current_time() - oldest, 1),
            full=not self.has_space,
            error=self.error.code if self.error else None,
        )

    def records(self, tenant: Tenant) -> bool:
        """Whether a session of this tenant is recorded where its client does not say."""
        return self.archive_by_default if tenant.archive is None else tenant.archive

    def days_kept(self, tenant: Tenant) -> int:
        """Days after which a recording of this tenant is deleted; 0: it is kept."""
        return self.tenant_keep_days().get(tenant.name, self.keep_days)

    def is_recorded(self, session: str) -> bool:
        """False for a live session whose client, tenant or service does not want it recorded."""
        recorder = self._recorders.get(session)
        return recorder is None or recorder.enabled

    @asynccontextmanager
    async def record_session(
        self,
        session: str,
        tenant: Tenant = DEFAULT_TENANT,
        *,
        person: str | None = None,
        acknowledge: Callable[[int], None] = ignore_acknowledgement,
    ) -> AsyncGenerator[Recorder, None]:
        """Record a session; what is left at the end is written even when the session is cancelled.

        Raises an ExceptionGroup with a ProviderError where audio was lost, because the disk stayed full or failed.
        """
        recorder = Recorder(
            self.session_log,
            jr.SessionOpened(session, _iso(self.now()), self.audio, tenant.name, person),
            enabled=self.records(tenant),
            chunk_ms=self.chunk_ms,
            write_interval_s=self.write_interval_s,
            disk_timeout_s=self.disk_timeout_s,
            acknowledge=acknowledge,
            on_chunk_closed=lambda: self._queue.schedule(session),
        )
        self.live_sessions.add(session)
        self._recorders[session] = recorder
        self._live_changed.set()
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
            del self._recorders[session]
            self._live_changed.set()
            if recorder.durable_samples:
                self._queue.schedule(session)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Upload what an earlier process left, then what this one records; until the end of the context."""
        for session, age_s in await self.session_log.sessions():
            names = await self.session_log.log_names(session)
            if jr.ATTEMPT in names and jr.WHOLE not in names:  # its job is transcribed again, somewhere
                await self.session_log.remove_session(session)
            elif session not in self.held_sessions:
                self._queue.schedule(session, anyio.current_time() - age_s)
        tasks: dict[str, Callable[[], Awaitable[None]]]
        tasks = {f"upload {number}": self._upload_loop for number in range(self.concurrent_uploads)}
        tasks |= {"live_sessions": self._announce_loop, "index_writer": self.index_writer.run}
        if self.retention is not None:
            tasks["retention"] = self.retention.run
        if self.leases is not None:
            self.first_indexing = FirstIndexing(lambda: self.recordings, self.leases)
            tasks["first_indexing"] = self.first_indexing.run
        async with run_in_background(tasks):
            try:
                yield
            finally:
                with anyio.move_on_after(DRAIN_TIMEOUT_S, shield=True):
                    await self.wait_until_idle()

    async def wait_until_idle(self) -> None:
        """Return when everything that is due is uploaded and in the index, or the store or the database fails."""
        while not self._queue.is_idle and not self.error:
            await self._queue.wait_for_change()
        while not self.index_writer.queue.is_idle and not self.index_writer.is_failing:
            await self.index_writer.queue.wait_for_change()

    async def owner(self, session: str, *, tenant: str | None = None) -> str | None:
        """The name of the tenant a session belongs to; None where there is no such session. Raises a ProviderError.

        Where the manifest cannot be read, the index of `tenant` is asked, or of every tenant where that is None.
        """
        try:
            session = parse_session_id(session)
            if opened := (await read_journal(self.session_log, session)).opened:
                return opened.tenant
            try:
                return (await self.recordings.manifest(session)).tenant
            except BlobUnreadable:  # it can be deleted all the same
                if tenant is not None:
                    return tenant if await self.recordings.is_listed(session, tenant) else None
                return (await self.recordings.find(session)).tenant
        except BlobNotFound:
            return None

    async def live_everywhere(self) -> frozenset[str]:
        """Sessions that are live in any process. Raises ProviderBusy where the others cannot be asked."""
        return await self.all_live_sessions.everywhere() | self.live_sessions

    async def incomplete_everywhere(self) -> frozenset[str]:
        """The same, with those whose recording is still being made of a file."""
        return await self.live_everywhere() | self.held_sessions

    async def delete(self, session: str, tenant: str) -> DeletionReceipt | None:
        """Delete every trace of a tenant's session, for good; None where there was no recording.

        The tombstone comes first: a process that stores some of it later deletes that again. Raises a ProviderError;
        what was not deleted by then, the next attempt deletes.
        """
        now = self.now()
        await self.recordings.tombstones.write(session, now)
        deleted = Counter[str]()
        if self.index is not None:
            deleted["indexRows"] = await self.index.begin_deletion(session, tenant, now)
        for eraser in self.erasers:
            deleted.update(await eraser.erase_session(session))
        deleted["spoolLogs"] = await self._remove_logs(session)
        blobs = await self.recordings.delete(session, tenant)
        deleted["blobs"] = blobs.count
        if self.index is not None:
            await self.index.finish_deletion(session)
        traces = await self.after_deletion() if self.after_deletion else ()
        if not deleted["spoolLogs"] and not deleted["blobs"]:
            return None
        return DeletionReceipt(session, tenant, _iso(now), dict(deleted), (*blobs.remaining, *traces))

    async def _remove_logs(self, session: str) -> int:
        """Remove the session from the queues and from the session log. How many logs there were."""
        await self._leave_queues(session)
        logs = await self.session_log.log_names(session)
        await self.session_log.remove_session(session)
        return len(logs)

    async def _announce_loop(self) -> None:
        """Announce the live sessions of this process, as long as there are any and once more after them."""
        announced = frozenset[str]()
        while True:
            with anyio.move_on_after(ANNOUNCE_EVERY_S):
                await self._live_changed.wait()
            self._live_changed = anyio.Event()
            live = frozenset(self.live_sessions)
            if live or announced:
                try:
                    await self.all_live_sessions.announce(live)
                except ProviderError as error:
                    _log.warning("live sessions cannot be announced", message=str(error))
                else:
                    announced = live

    async def begin_attempt(self, session: str) -> None:
        """A recording is about to be made of a file; what an earlier attempt has left here is dropped.

        Until publish() a reader finds no manifest of it, and what a dead process has left of it the next one drops.
        """
        self.held_sessions.add(session)
        await self._remove_logs(session)
        await self.session_log.append(session, jr.ATTEMPT, [b"{}"])

    async def publish(self, session: str, before_manifest: Callable[[], Awaitable[None]]) -> None:
        """Store the recording whole: chunks, replies, and behind `before_manifest`, which may raise, the manifest.

        Raises BlobNotFound where the session was deleted, and a ProviderError; then it may be called again.
        """
        await self._queue.remove(session)
        is_kept = await self._session_upload(session).run(is_live=False, before_manifest=before_manifest)
        self._uploads.pop(session, None)
        self.held_sessions.discard(session)
        self.index_writer.queue.schedule(session)
        if not is_kept:
            raise BlobNotFound(session)

    async def drop_attempt(self, session: str) -> None:
        """Remove what this process has recorded of a file. What is in the store stays, for the next attempt."""
        try:
            await self._remove_logs(session)
        finally:
            self.held_sessions.discard(session)

    async def _leave_queues(self, session: str) -> None:
        await self._queue.remove(session)
        await self.index_writer.queue.remove(session)
        self._uploads.pop(session, None)

    async def _upload_loop(self) -> None:
        while True:
            session = await self._queue.take()
            outcome = UploadOutcome.RETRY  # also where the process is told to stop in the middle
            try:
                outcome = await self._attempt(session)
            finally:
                self._queue.finish(session, outcome)
            if outcome is UploadOutcome.RETRY:
                pause_s = min(self.longest_pause_s, self.first_pause_s * 2 ** min(self._failures, 16))
                await anyio.sleep(pause_s * (0.5 + self.jitter() / 2))

    async def _attempt(self, session: str) -> UploadOutcome:
        try:
            await self._upload(session)
        except BlobUnreadable as error:
            _log.error("session log cannot be read", session=session, message=str(error))
            return UploadOutcome.DEFECTIVE
        except ProviderError as error:
            if self._failures == 0:
                _log.warning("blob store fails", kind=type(error).__name__, message=str(error))
            self._failures, self.error = self._failures + 1, error
            return UploadOutcome.RETRY
        except Exception as error:  # noqa: BLE001 because one defective session must not stop the others; it is tried again at the next start
            self._uploads.pop(session, None)
            report_defect("upload", error, session=session)
            return UploadOutcome.DEFECTIVE
        self._store_works()
        return UploadOutcome.DONE

    async def _upload(self, session: str) -> None:
        is_live = self.is_incomplete(session)
        upload = self._session_upload(session)
        try:
            with tracer.start_as_current_span("upload", attributes={"parley.session": session}):
                is_kept = await upload.run(is_live=is_live, with_manifest=session not in self.held_sessions)
            if not is_kept:
                _log.info("deleted session is no longer recorded", session=session)
                self._uploads.pop(session, None)
                if recorder := self._recorders.get(session):
                    recorder.stop()
            if not (is_kept and is_live):
                self.index_writer.queue.schedule(session)
        finally:
            if not is_live:  # because what waits for a store that is down waits on the disk, not in memory
                self._uploads.pop(session, None)

    def _session_upload(self, session: str) -> SessionUpload:
        reader = JournalReader(self.session_log, session)
        return self._uploads.setdefault(
            session,
            SessionUpload(
                self.session_log,
                self.store,
                reader,
                self.encoding_threads,
                self._store_works,
                lambda: self.index_writer.queue.schedule(session),
            ),
        )

    def _store_works(self) -> None:
        self._failures, self.error = 0, None


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
