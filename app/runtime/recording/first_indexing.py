"""Indexes what was stored before there was a recordings index, in the background of the first start."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import anyio
import structlog

from app.domain.errors import ProviderError
from app.domain.lease import INDEXING
from app.runtime.leases import Leases
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.reindexing import Reindexing, ReindexReport
from app.runtime.supervision import run_in_background

LEASE_S = 120.0
"""How long a process that died keeps the others from going on."""
REPORT_EVERY_S = 5.0
LOOK_EVERY_S = 30.0
LOG_EVERY = 1000

_log = structlog.get_logger("parley.archive")


@dataclass(slots=True)
class FirstIndexing:
    """Adds what was stored before there was an index, once; one of the processes that share the database does so."""

    recordings: Callable[[], RecordingStore]
    leases: Leases
    is_complete: bool = False
    progress: int = 0
    """Recordings looked at, by whichever process."""

    async def run(self) -> None:
        """Look for ever whether there is something to do: an SQLite file may be deleted, and begun anew."""
        while True:
            try:
                await self._look()
            except ProviderError as error:
                _log.warning("recordings are not indexed yet", kind=type(error).__name__, message=str(error))
            await anyio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        status = await self.leases.status(INDEXING)
        self.is_complete, self.progress = status.was_completed, status.progress
        index = self.recordings().index
        if self.is_complete or index is None or not await self.leases.take(INDEXING, LEASE_S):
            return
        reindexing = Reindexing(self.recordings(), index)
        async with run_in_background({"recordings_indexing": partial(self._hold, reindexing.report)}):
            report = await reindexing.run(skips_known=True)
        await self.leases.take(INDEXING, LEASE_S, progress=report.recordings)
        await self.leases.release(INDEXING, completed=True)
        self.is_complete, self.progress = True, report.recordings
        if report.recordings:
            _log.info("recordings indexed", recordings=report.recordings, unreadable=report.unreadable)

    async def _hold(self, report: ReindexReport) -> None:
        """Keep the lease, and tell how far it is, as long as it takes."""
        shown = 0
        while True:
            self.progress = report.recordings
            if report.recordings >= shown + LOG_EVERY:
                shown = report.recordings
                _log.info("recordings are being indexed", recordings=shown, unreadable=report.unreadable)
            with suppress(ProviderError):  # the run notices that the database is away, too
                await self.leases.take(INDEXING, LEASE_S, progress=report.recordings)
            await anyio.sleep(REPORT_EVERY_S)
