"""A thread pool of lower CPU priority, for work that speech recognition should not wait for."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

NICENESS = 5
"""Added to a thread's niceness; five steps leave it about a quarter of a core that a normal thread wants too."""

_MAX_NICENESS = 19


def low_priority_threads(count: int, name: str) -> ThreadPoolExecutor:
    """An executor with `count` threads of lower priority. On systems other than Linux their priority is unchanged."""
    return ThreadPoolExecutor(count, thread_name_prefix=name, initializer=_lower_priority)


def _lower_priority() -> None:
    if sys.platform == "linux":  # where a thread has a niceness of its own
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + NICENESS
        os.setpriority(os.PRIO_PROCESS, thread, min(_MAX_NICENESS, niceness))
