"""The machine's cores, or its GPU: one queue for every model in the process."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from anyio import CancelScope, to_thread

from app.domain.errors import ProviderBusy
from providers.local.asr.whisper_model import PROVIDER
from providers.local.scheduler import Job, Priority, QueueLimits, WorkQueue, admit, choose, without

CUDA_BATCH = 16
_COLLECT = 0.004
"""Seconds a GPU waits for company before it starts a batch."""


class SupersededRequest(Exception):
    """A newer draft of the same session, or the clock, made this one worthless."""


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """How the cores are shared out."""

    workers: int
    """Passes that run at once."""

    threads: int
    """Threads in one pass."""


def thread_plan(cores: int, wished: int = 0) -> ThreadPlan:
    """Two passes at once on whatever cores there are, before any of them gets a second thread; four threads at most."""
    cores = max(1, wished or cores)
    threads = max(1, min(4, cores // 2))
    return ThreadPlan(max(1, cores // threads), threads)


def usable_cores() -> int:
    """The cores this process may run on, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


Work = Callable[[Sequence[Any]], Sequence[Any]]
"""Answers a batch, in its order."""


@dataclass(frozen=True, slots=True)
class _QueuedJob:
    work: Work
    given: Any
    future: "Future[Any]"


class InferencePool:
    """Runs jobs on worker threads, in the order the scheduler decides."""

    def __init__(self, workers: int, limits: QueueLimits) -> None:
        self._limits = limits
        self._backlog = WorkQueue()
        self._waiting: dict[int, _QueuedJob] = {}
        self._arrivals = 0
        self._open = True
        self._running = 0
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, name=f"speech-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return len(self._backlog.waiting)

    @property
    def idle(self) -> bool:
        """Whether nobody waits and at most one thread has work."""
        return not self._backlog.waiting and self._running <= 1 < len(self._threads)

    async def run(self, work: Work, given: Any, *, urgency: Priority, session: Hashable, kind: Hashable) -> Any:
        """Wait for a turn, and for the work. Walking away skips work that has not begun.

        Raises ProviderBusy when no more finals fit, Superseded when a draft is worthless by now.
        """
        future: Future[Any] = Future()
        with self._changed:
            self._arrivals += 1
            job = Job(self._arrivals, urgency, session, kind, time.monotonic())
            admission = admit(self._backlog, job, self._limits)
            if admission.refused:
                raise ProviderBusy(PROVIDER, f"{self.queued} pieces of speech wait for this machine already")
            self._backlog = admission.backlog
            self._waiting[job.number] = _QueuedJob(work, given, future)
            self._drop(admission.dropped)
            self._changed.notify()
        future.add_done_callback(lambda done: self._forget(job) if done.cancelled() else None)
        # asyncio's own bridge, because it passes a cancellation on to the future, and so to the queue.
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what runs; what waits is dropped."""
        with self._changed:
            self._open = False
            self._drop(self._backlog.waiting)
            self._backlog = WorkQueue()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _forget(self, job: Job) -> None:
        with self._changed:
            self._waiting.pop(job.number, None)
            self._backlog = without(self._backlog, job)

    def _drop(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            dropped = self._waiting.pop(job.number).future
            if dropped.set_running_or_notify_cancel():
                dropped.set_exception(SupersededRequest())

    def _run(self) -> None:
        while batch := self._next():
            wanted = [one for one in batch if one.future.set_running_or_notify_cancel()]
            if not wanted:
                continue
            with self._changed:
                self._running += 1
            try:
                results = wanted[0].work([one.given for one in wanted])
            except Exception as error:  # noqa: BLE001 because whatever happened belongs to those who wait
                for one in wanted:
                    one.future.set_exception(error)
            else:
                for one, result in zip(wanted, results, strict=True):
                    one.future.set_result(result)
            finally:
                with self._changed:
                    self._running -= 1

    def _next(self) -> list[_QueuedJob]:
        """The next batch, as soon as there is one; nothing when the cores close."""
        with self._changed:
            while self._open:
                if self._backlog.waiting and self._limits.batch > 1:
                    self._changed.wait_for(lambda: len(self._backlog.waiting) >= self._limits.batch, _COLLECT)
                turn = choose(self._backlog, time.monotonic(), self._limits)
                self._backlog = turn.backlog
                self._drop(turn.expired)
                if turn.batch:
                    return [self._waiting.pop(job.number) for job in turn.batch]
                self._changed.wait()
            return []


@dataclass(slots=True)
class _SharedPool:
    cores: InferencePool
    users: int = 0


_shared: dict[str, _SharedPool] = {}


@asynccontextmanager
async def shared_pool(device: str, workers: int) -> AsyncIterator[InferencePool]:
    """The one queue for this device in this process; the last to leave closes it."""
    if device not in _shared:
        _shared[device] = _SharedPool(InferencePool(workers, QueueLimits(batch=CUDA_BATCH if device == "cuda" else 1)))
    shared = _shared[device]
    shared.users += 1
    try:
        yield shared.cores
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[device]
            with CancelScope(shield=True):
                await to_thread.run_sync(shared.cores.close)
