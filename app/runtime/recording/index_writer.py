"""Writes stored recordings into the index, behind the uploader: while the database is away they wait on the disk."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
import structlog

from app.domain.errors import BlobNotFound, BlobUnreadable, ProviderError
from app.runtime.recording.journal import WHOLE
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.session_log import SessionLog
from app.runtime.recording.upload_queue import UploadOutcome, UploadQueue
from app.runtime.supervision import report_defect

_log = structlog.get_logger("parley.archive")


@dataclass(slots=True)
class IndexWriter:
    """A recording that is whole in the store keeps its journal until its row is written, and has no logs then."""

    session_log: SessionLog
    recordings: Callable[[], RecordingStore]
    first_pause_s: float = 0.5
    """After a failure; each further one doubles it."""
    longest_pause_s: float = 60.0
    jitter: Callable[[], float] = random.random
    queue: UploadQueue = field(default_factory=UploadQueue)
    is_failing: bool = False
    """Whether the newest attempt failed."""

    async def run(self) -> None:
        """Write what is due, one recording after the other, for ever."""
        failures = 0
        while True:
            session = await self.queue.take()
            outcome = UploadOutcome.RETRY  # also where the process is told to stop in the middle
            try:
                outcome = await self._attempt(session)
                self.is_failing = outcome is UploadOutcome.RETRY
            finally:
                self.queue.finish(session, outcome)
            failures = failures + 1 if self.is_failing else 0
            if failures:
                pause_s = min(self.longest_pause_s, self.first_pause_s * 2 ** min(failures - 1, 16))
                await anyio.sleep(pause_s * (0.5 + self.jitter() / 2))

    async def _attempt(self, session: str) -> UploadOutcome:
        try:
            await self._index(session)
        except BlobUnreadable as error:
            _log.error("stored recording cannot be read back", session=session, message=str(error))
            return UploadOutcome.DEFECTIVE
        except ProviderError as error:
            if not self.is_failing:
                _log.warning("recordings cannot be indexed now", kind=type(error).__name__, message=str(error))
            return UploadOutcome.RETRY
        except Exception as error:  # noqa: BLE001 because one defective recording must not stop the others; it is tried again at the next start
            report_defect("index", error, session=session)
            return UploadOutcome.DEFECTIVE
        return UploadOutcome.DONE

    async def _index(self, session: str) -> None:
        """Of a deleted recording nothing stays, wherever it was deleted."""
        recordings, is_whole = self.recordings(), WHOLE in await self.session_log.log_names(session)
        if recordings.index is not None:
            try:
                manifest = await recordings.manifest(session)
            except BlobNotFound:
                await self._remove_row(recordings, session)
            else:
                if await recordings.index.write([manifest]) and is_whole:
                    await recordings.delete(session, manifest.tenant)
        if is_whole:
            await self.session_log.remove_session(session)

    async def _remove_row(self, recordings: RecordingStore, session: str) -> None:
        assert recordings.index is not None
        if await recordings.tombstones.exists(session):  # also of a process whose database is another one
            await recordings.index.begin_deletion(session, "", datetime.now(UTC))
            await recordings.index.finish_deletion(session)
        else:
            await recordings.index.remove(session)
