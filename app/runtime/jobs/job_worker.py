"""JobWorker: takes jobs, of whichever process received them, and transcribes each until it is done or has failed."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
import structlog

from app.domain.audio import seconds
from app.domain.errors import (
    BlobNotFound,
    BlobUnreadable,
    ClientError,
    ConversationBusy,
    LeaseLost,
    NoCapacity,
    ParleyError,
    ProviderBusy,
    ProviderError,
    RequestRefused,
)
from app.domain.job import FIRST_PAUSE_S, GIVEN_UP, MAX_ATTEMPTS, MAX_CRASHES, TranscriptionJob, retry_pause_s
from app.domain.recording.subtitles import Segment
from app.domain.tenant import Tenant
from app.runtime.admission import Admission
from app.runtime.jobs.file_uploads import FileUploads
from app.runtime.jobs.job_lease import JobLease
from app.runtime.supervision import report_defect

CONCURRENT_JOBS = 3
MAX_JOBS_PER_TENANT = 2
"""At once in this process: the long files of one tenant leave a place to the others."""
BUSY_PAUSE_S = 5.0
"""Before a conversation is tried again that another writer has."""
POLL_S = 2.0
"""Between two looks for jobs of other processes, for those that are due again, and for places."""
INTERRUPT_TIMEOUT_S = 5.0
"""How long the end of the process waits for the database; then the lease runs out by itself."""

_log = structlog.get_logger("parley.jobs")


@dataclass(slots=True)
class JobWorker:
    files: FileUploads
    admission: Admission
    tenant: Callable[[str], Tenant]
    """The tenant of this name."""
    transcribe: Callable[[JobLease, Tenant], Awaitable[list[Segment]]]
    """One attempt."""
    answer: Callable[[JobLease, Tenant], Awaitable[None]] | None = None
    """Has what was said answered, for jobs with a conversation. Raises ConversationBusy where that must wait."""
    first_pause_s: float = FIRST_PAUSE_S
    poll_s: float = POLL_S
    chance: Callable[[], float] = random.random
    _running: Counter[str] = field(default_factory=Counter)
    """Jobs of each tenant in this process."""
    _crashed: int = 0
    """How many of these are jobs in the middle of which a process has died: one at most."""
    _taking: anyio.Lock = field(default_factory=anyio.Lock)
    """One task at a time looks for a job."""

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs in the background, by name."""
        return {f"job worker {number}": self._run for number in range(CONCURRENT_JOBS)}

    async def _run(self) -> None:
        while True:
            async with self._taking:
                job = await self._wait_for_job()
                has_crashed = job.crashes > 0
                self._running[job.tenant] += 1
                self._crashed += has_crashed
            try:
                await self._perform(job)
            finally:
                self._running[job.tenant] -= 1
                self._crashed -= has_crashed

    async def _wait_for_job(self) -> TranscriptionJob:
        """The oldest job that may begin now: one that is due, and whose tenant has a place and not too many jobs."""
        is_available = True
        while True:
            try:
                if job := await self._take():
                    return job
                is_available = True
            except ProviderBusy as error:
                if is_available:
                    _log.warning("jobs cannot be taken now", message=str(error))
                is_available = False
                with suppress(ParleyError):
                    await self.files.jobs.reopen()
            await self.files.wait_for_change(self.poll_s * (0.5 + self.chance() / 2))

    async def _take(self) -> TranscriptionJob | None:
        now = self.files.now()
        if self.admission.is_draining:
            return None
        waiting = await self.files.jobs.takeable_tenants(now)
        placed = [
            name
            for name in waiting
            if self._running[name] < MAX_JOBS_PER_TENANT and self.admission.refusal(self.tenant(name)) is None
        ]
        if not placed:
            return None
        until, is_untried = self.files.lease_until(now), self._crashed > 0
        return await self.files.jobs.take(self.files.owner, placed, until, now, is_untried=is_untried)

    async def _perform(self, job: TranscriptionJob) -> None:
        lease = JobLease(self.files, job)
        try:
            async with lease.kept():
                await self._attempt(lease)
        except LeaseLost:
            _log.warning("job was cancelled, or another process has it", job=job.id)
        except BaseException:  # because a service that stops leaves the job to another one, or to its next start
            with anyio.move_on_after(INTERRUPT_TIMEOUT_S, shield=True), suppress(ParleyError):
                now = self.files.now()
                await lease.change(lambda each: each.interrupt(job.fence, now))
            raise

    async def _attempt(self, lease: JobLease) -> None:
        """One attempt, and what follows from its outcome. Raises LeaseLost."""
        job, tenant = lease.job, self.tenant(lease.job.tenant)
        if job.crashes >= MAX_CRASHES:
            await self._fail(lease, GIVEN_UP, f"the service stopped {job.crashes} times in the middle of it")
            return
        try:
            if job.fence == 1 or not await lease.until_available(lambda: self._is_published(lease)):
                with self.admission.admitted(job.id, tenant):
                    await self.transcribe(lease, tenant)
            if job.conversation and self.answer is not None:
                await self.answer(lease, tenant)
        except ConversationBusy:
            await self._wait_for_conversation(lease)
        except ProviderError as error:
            if error.retryable and job.attempts < MAX_ATTEMPTS:
                await self._postpone(lease, error, counts=True)
            else:
                await self._fail(lease, error.code, str(error))
        except (ClientError, RequestRefused) as error:
            await self._fail(lease, error.code, str(error))
        except NoCapacity as error:
            await self._postpone(lease, error, counts=False)
        except BlobNotFound as error:  # its recording was deleted meanwhile
            raise LeaseLost(job.id) from error
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 because nobody above would log it
            report_defect("job", error, job=job.id)
            await self._fail(lease, "internal_error", "something went wrong on the server")
        else:
            await self._complete(lease)

    async def _is_published(self, lease: JobLease) -> bool:
        """Whether the attempt before this one stored the recording whole, and died before it could say so."""
        try:
            manifest = await self.files.uploader.recordings.manifest(lease.job.id)
        except (BlobNotFound, BlobUnreadable):
            return False
        lease.seconds_done, lease.warnings[:] = seconds(manifest.samples), manifest.warnings
        if not manifest.is_live:
            self.files.uploader.index_writer.queue.schedule(lease.job.id)
        return not manifest.is_live

    async def _wait_for_conversation(self, lease: JobLease) -> None:
        """Its recording is stored; the next attempt goes on behind it."""
        fence, now = lease.job.fence, self.files.now
        await lease.until_available(
            lambda: lease.change(lambda job: job.interrupt(fence, now(), pause_s=BUSY_PAUSE_S, counts=False))
        )

    async def _complete(self, lease: JobLease) -> None:
        fence = lease.job.fence
        await lease.until_available(
            lambda: lease.change(lambda job: job.complete(fence, self.files.now(), lease.warnings, lease.seconds_done))
        )
        with suppress(ParleyError):  # a sweep removes the file later
            await self.files.clear(lease.job)

    async def _fail(self, lease: JobLease, code: str, message: str) -> None:
        fence = lease.job.fence

        def fail(job: TranscriptionJob) -> TranscriptionJob:
            job.require_lease(fence)
            return job.fail(code, message, self.files.now(), lease.warnings)

        await lease.until_available(lambda: lease.change(fail))
        _log.warning("file not transcribed", job=lease.job.id, code=code, message=message)
        with suppress(ParleyError):
            await self.files.clear(lease.job)

    async def _postpone(self, lease: JobLease, error: ParleyError, *, counts: bool) -> None:
        fence = lease.job.fence
        pause_s = retry_pause_s(lease.job.attempts, self.chance(), self.first_pause_s)
        await lease.until_available(
            lambda: lease.change(lambda job: job.interrupt(fence, self.files.now(), pause_s=pause_s, counts=counts))
        )
        _log.warning("file is transcribed later", job=lease.job.id, message=str(error), pause_s=round(pause_s, 2))
