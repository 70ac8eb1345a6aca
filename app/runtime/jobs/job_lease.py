"""JobLease: keeps one job for this process while it works on it, and tells when it was lost."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import structlog

from app.domain.errors import BlobNotFound, LeaseLost, ParleyError, ProviderBusy, ProviderError
from app.domain.job import TranscriptionJob
from app.runtime.jobs.file_uploads import FileUploads

HEARTBEATS_PER_LEASE = 3
PROGRESS_EVERY_S = 2.0
"""Between two renewals of a job that moves on; one that does not is renewed at each heartbeat."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Before a store that fails is asked again."""
DISCARD_TIMEOUT_S = 5.0
"""How long the end of a request waits for the store to delete; what stays then is deleted by the next sweep."""
T = TypeVar("T")

_log = structlog.get_logger("parley.jobs")


@dataclass(slots=True)
class JobLease:
    """Of a job that this process has taken."""

    files: FileUploads
    job: TranscriptionJob
    seconds_done: float = 0.0
    seconds_total: float | None = None
    """Progress, to be written with the next renewal."""
    warnings: list[str] = field(default_factory=list)
    """What of the file could not be decoded."""
    jitter: Callable[[], float] = random.random
    _is_lost: bool = False
    _changing: anyio.Lock = field(default_factory=anyio.Lock)
    """So that no renewal comes behind the change that gives the lease back."""

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None, None]:
        """Renew the lease for the lifetime of the context. Raises LeaseLost, which also cancels what runs inside.

        While the database is unavailable nobody else can take the job either, and the work goes on.
        """
        fault: Exception | None = None
        async with anyio.create_task_group() as tasks:

            async def renew() -> None:
                try:
                    await self._renew_until_lost()
                except LeaseLost:
                    self._is_lost = True
                    tasks.cancel_scope.cancel()

            tasks.start_soon(renew)
            try:
                yield
            except Exception as raised:  # noqa: BLE001 because the task group would wrap what the body raises
                fault = raised
            tasks.cancel_scope.cancel()
        if self._is_lost:
            raise LeaseLost(self.job.id) from fault
        if fault is not None:
            raise fault

    @asynccontextmanager
    async def kept_or_discarded(self) -> AsyncGenerator[None, None]:
        """As kept(), while a client sends the file: what ends that early discards the job.

        Raises BlobNotFound where it was deleted meanwhile.
        """
        try:
            async with self.kept():
                yield
        except LeaseLost as error:
            raise BlobNotFound(self.job.id) from error
        except BaseException:  # because nobody was promised anything
            with anyio.move_on_after(DISCARD_TIMEOUT_S, shield=True), suppress(ParleyError):
                await self.files.discard(self.job)
            raise

    async def check(self) -> None:
        """Renew the lease now. Raises LeaseLost, or ProviderBusy where the database is unavailable."""
        async with self._changing:
            await self._change(self._renewed)

    async def change(self, decide: Callable[[TranscriptionJob], TranscriptionJob]) -> TranscriptionJob:
        """The job as `decide` makes it. Raises LeaseLost where it was deleted, and what `decide` raises."""
        async with self._changing:
            return await self._change(decide)

    async def _change(self, decide: Callable[[TranscriptionJob], TranscriptionJob]) -> TranscriptionJob:
        try:
            self.job = await self.files.jobs.change(self.job.id, decide)
        except BlobNotFound as error:
            raise LeaseLost(self.job.id) from error
        return self.job

    def _renewed(self, job: TranscriptionJob) -> TranscriptionJob:
        now = self.files.now()
        return job.renew(self.job.fence, self.files.lease_until(now), now, self.seconds_done, self.seconds_total)

    async def until_available(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, tried until database and blob store are available. It must be repeatable."""
        failures = 0
        while True:
            try:
                return await work()
            except ProviderError as error:
                if not error.retryable:
                    raise
                if not failures:
                    _log.warning("job waits for a store", job=self.job.id, message=str(error))
            failures += 1
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 16))
            await anyio.sleep(pause_s * (0.5 + self.jitter() / 2))

    async def _renew_until_lost(self) -> None:
        heartbeat_s = self.files.lease_s / HEARTBEATS_PER_LEASE
        renewed_at, written = anyio.current_time(), self.seconds_done
        while True:
            await anyio.sleep(min(PROGRESS_EVERY_S, heartbeat_s))
            is_due = anyio.current_time() - renewed_at >= heartbeat_s
            if not is_due and self.seconds_done == written:
                continue
            try:
                async with self._changing:
                    if not self.job.is_leased:
                        return
                    written = self.seconds_done
                    await self._change(self._renewed)
                    renewed_at = anyio.current_time()
            except ProviderBusy as error:
                _log.warning("lease cannot be renewed now", job=self.job.id, message=str(error))
