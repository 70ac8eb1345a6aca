"""How the CPU cores are divided between concurrent inference passes and the threads within a pass."""

import os
from dataclasses import dataclass

_MAX_THREADS = 4


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """A division of the cores."""

    workers: int
    """Passes that run at the same time."""

    threads: int
    """Threads within one pass."""

    @property
    def graph_threads(self) -> int:
        """Threads of one ONNX graph: those that other passes leave idle help, and none of them spins."""
        return min(_MAX_THREADS, self.threads * self.workers)


def thread_plan(cores: int, limit: int = 0) -> ThreadPlan:
    """At least two concurrent passes wherever there are two cores; only then up to four threads each.

    `limit`, where it is not 0, replaces `cores`.
    """
    cores = max(1, limit or cores)
    threads = max(1, min(_MAX_THREADS, cores // 2))
    return ThreadPlan(max(1, cores // threads), threads)


def usable_cores() -> int:
    """The cores this process may run on, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
