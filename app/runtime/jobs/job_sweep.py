"""JobSweep: removes what has expired, and what a process that died or a store that failed has left."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import anyio
import structlog

from app.domain.errors import BlobNotFound, ParleyError
from app.domain.job import INTERRUPTED, KEEP_FINISHED, TranscriptionJob
from app.domain.recording.session_id import started_at
from app.runtime.jobs.file_uploads import FileUploads

SWEEP_EVERY_S = 15.0
SWEEP_BLOBS_EVERY_S = 3600.0

_log = structlog.get_logger("parley.jobs")


@dataclass(frozen=True, slots=True)
class JobSweep:
    files: FileUploads
    every_s: float = SWEEP_EVERY_S

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs in the background, by name."""
        return {"job sweep": self._run, "job blob sweep": self._run_blobs}

    async def _run(self) -> None:
        while True:
            with suppress(ParleyError):  # the database is unavailable: the next sweep tries it again
                await self.sweep()
            await anyio.sleep(self.every_s)

    async def _run_blobs(self) -> None:
        while True:
            await anyio.sleep(SWEEP_BLOBS_EVERY_S)
            with suppress(ParleyError):
                await self.sweep_blobs()

    async def sweep(self) -> None:
        """Handle every job that is overdue. Raises ProviderBusy where the database is unavailable."""
        now = self.files.now()
        for job in await self.files.jobs.overdue(now):
            try:
                await self._handle(job, now)
            except ParleyError as error:
                _log.warning("job stays for now", job=job.id, message=str(error))

    async def _handle(self, job: TranscriptionJob, now: datetime) -> None:
        if job.is_interrupted(now):
            job = await self.files.jobs.change(job.id, lambda each: _interrupted(each, now))
        if job.is_expired(now) and not job.is_finished:
            await self.files.discard(job)
            return
        if job.has_remains:
            job = await self.files.clear(job)
        if job.is_expired(now):
            await self.files.jobs.remove(job.id)

    async def sweep_blobs(self) -> None:
        """Delete the files of jobs that are finished, or that no row tells of and that are older than any job."""
        now, found = self.files.now(), await self.files.blobs.jobs()
        unfinished = await self.files.jobs.unfinished(found)
        for session in found - set(unfinished):
            began = started_at(session)
            if await self.files.jobs.get(session) is not None or (began and now - began > KEEP_FINISHED):
                await self.files.blobs.delete(session)


def _interrupted(job: TranscriptionJob, now: datetime) -> TranscriptionJob:
    """Raises BlobNotFound where somebody has taken care of it since."""
    if not job.is_interrupted(now):
        raise BlobNotFound(job.id)
    return job.fail(INTERRUPTED, "the service stopped before the file was transcribed", now)
