"""Worker threads that run the inference jobs of every model in the process, one queue per device."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from anyio import CancelScope, to_thread

from app.domain.errors import ProviderBusy, ProviderDown
from providers.local.errors import PROVIDER
from providers.local.scheduler import Job, Priority, QueueLimits, WorkQueue, admit, next_batch, remove

CUDA_BATCH = 16
_BATCH_WINDOW_S = 0.004
"""How long a GPU waits for more jobs before it starts a batch that is not full."""


class SupersededRequest(Exception):
    """A draft was dropped unrun: a newer one of its session replaced it, or it expired."""


Work = Callable[[Sequence[Any]], Sequence[Any]]
"""Computes a batch: one result for each request, in their order."""


@dataclass(frozen=True, slots=True)
class PoolTime:
    """Two clocks of a pool, in seconds: the difference of two readings tells how much of the machine a pass took."""

    wall_s: float
    shared_s: float
    """Advances by the wall time divided by the number of batches that run."""


@dataclass(frozen=True, slots=True)
class _QueuedJob:
    job: Job
    work: Work
    request: Any
    future: "Future[Any]"


class InferencePool:
    """Runs jobs on worker threads, in the order `scheduler` decides.

    A pass cannot be interrupted, and one over a recording takes seconds: where there are several workers, recordings
    leave one of them to live speech.
    """

    def __init__(self, workers: int, limits: QueueLimits) -> None:
        self._limits = limits
        self._queue = WorkQueue()
        self._jobs: dict[int, _QueuedJob] = {}
        self._arrivals = 0
        self._open = True
        self._running = self._running_recordings = 0
        self._read = PoolTime(time.monotonic(), 0.0)
        self._workers = workers
        self._max_recordings = max(1, workers - 1)
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"speech-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return len(self._queue.waiting)

    @property
    def oldest_wait_s(self) -> float:
        """How long the job that came first of those that wait has waited."""
        return max((time.monotonic() - job.arrived_s for job in self._queue.waiting), default=0.0)

    @property
    def concurrency(self) -> int:
        """Requests that may be computed at the same time."""
        return self._workers * self._limits.max_batch

    def time(self) -> PoolTime:
        with self._changed:
            return self._advance()

    @property
    def has_waiting_finals(self) -> bool:
        """Whether a final of a live session waits for a worker."""
        return any(job.priority is Priority.FINAL for job in self._queue.waiting)

    @property
    def has_spare_capacity(self) -> bool:
        """Whether no live job waits and at most one of several workers is busy: a new one would start at once."""
        is_waiting = any(job.priority is not Priority.RECORDING for job in self._queue.waiting)
        return not is_waiting and self._running <= 1 < len(self._threads)

    async def run(self, work: Work, request: Any, *, priority: Priority, session: Hashable, kind: Hashable) -> Any:
        """Queue a request, and return its result. A caller that is cancelled takes it out of the queue.

        Jobs of one `kind` have the same `work` and may be computed together.
        Raises ProviderBusy where no more jobs of this priority fit, SupersededRequest where a draft was dropped,
        ProviderDown where the pool is closed, and whatever `work` raises.
        """
        future: Future[Any] = Future()
        with self._changed:
            if not self._open:
                raise ProviderDown(PROVIDER, "was closed")
            self._arrivals += 1
            job = Job(self._arrivals, priority, session, kind, time.monotonic())
            admission = admit(self._queue, job, self._limits)
            if admission.refused:
                raise ProviderBusy(PROVIDER, f"{self.queued} inference jobs are queued already")
            self._queue = admission.queue
            self._jobs[job.number] = _QueuedJob(job, work, request, future)
            self._fail(admission.dropped, SupersededRequest)
            self._changed.notify()
        future.add_done_callback(lambda done: self._remove(job) if done.cancelled() else None)
        # asyncio's own bridge, because it passes a cancellation on to the future, and so to the queue.
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish the jobs that run, fail those that wait with ProviderDown, and end the worker threads."""
        with self._changed:
            self._open = False
            self._fail(self._queue.waiting, lambda: ProviderDown(PROVIDER, "was closed"))
            self._queue = WorkQueue()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _remove(self, job: Job) -> None:
        with self._changed:
            self._jobs.pop(job.number, None)
            self._queue = remove(self._queue, job)

    def _fail(self, jobs: Sequence[Job], error: Callable[[], Exception]) -> None:
        """End jobs that wait with this error."""
        for job in jobs:
            future = self._jobs.pop(job.number).future
            if future.set_running_or_notify_cancel():
                future.set_exception(error())

    def _work(self) -> None:
        while self._run_batch():
            pass  # because a batch in a local variable here would keep its audio while the thread waits for the next

    def _run_batch(self) -> bool:
        """Wait for a batch and compute it. False when the pool is closed."""
        batch = self._next_batch()
        if not batch:
            return False
        try:
            self._compute([queued for queued in batch if queued.future.set_running_or_notify_cancel()])
        finally:
            self._count(batch, -1)
        return True

    def _compute(self, batch: list[_QueuedJob]) -> None:
        if not batch:
            return
        try:
            results = batch[0].work([queued.request for queued in batch])
            for queued, result in zip(batch, results, strict=True):
                queued.future.set_result(result)
        except Exception as error:  # noqa: BLE001 because whatever happened belongs to the callers that wait
            for queued in batch:
                if not queued.future.done():
                    queued.future.set_exception(error)

    def _next_batch(self) -> list[_QueuedJob]:
        """The next batch, as soon as there is one; empty when the pool is closed."""
        with self._changed:
            while self._open:
                if self._queue.waiting and self._limits.max_batch > 1:
                    self._changed.wait_for(lambda: len(self._queue.waiting) >= self._limits.max_batch, _BATCH_WINDOW_S)
                recordings = self._running_recordings < self._max_recordings
                batch = next_batch(self._queue, time.monotonic(), self._limits, recordings=recordings)
                self._queue = batch.queue
                self._fail(batch.expired, SupersededRequest)
                if batch.jobs:
                    jobs = [self._jobs.pop(job.number) for job in batch.jobs]
                    self._count(jobs, 1)
                    return jobs
                self._changed.wait()
            return []

    def _count(self, batch: Sequence[_QueuedJob], change: int) -> None:
        """Note that a batch has begun or ended; its worker then looks for the next one itself."""
        with self._changed:
            self._advance()
            self._running += change
            if batch[0].job.priority is Priority.RECORDING:
                self._running_recordings += change

    def _advance(self) -> PoolTime:
        now_s, before = time.monotonic(), self._read
        shared_s = (now_s - before.wall_s) / self._running if self._running else 0.0
        self._read = PoolTime(now_s, before.shared_s + shared_s)
        return self._read


@dataclass(slots=True)
class _SharedPool:
    pool: InferencePool
    users: int = 0


_shared: dict[str, _SharedPool] = {}


@asynccontextmanager
async def shared_pool(device: str, workers: int) -> AsyncIterator[InferencePool]:
    """The one pool for this device in this process, opened by its first user and closed by its last."""
    if device not in _shared:
        limits = QueueLimits(max_batch=CUDA_BATCH if device == "cuda" else 1)
        _shared[device] = _SharedPool(InferencePool(workers, limits))
    shared = _shared[device]
    shared.users += 1
    try:
        yield shared.pool
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[device]
            with CancelScope(shield=True):
                await to_thread.run_sync(shared.pool.close)
