"""Threads that give way: whoever speaks is heard first, and answered with what is left of the machine."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

STEPS = 5
"""Of niceness; a thread that is five steps nicer gets a quarter of a core that others want too."""

_NICEST = 19


def yielding_threads(count: int, name: str) -> ThreadPoolExecutor:
    """So many threads for work that speech should not wait for."""
    return ThreadPoolExecutor(count, thread_name_prefix=name, initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":  # where a thread has a niceness of its own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(_NICEST, os.getpriority(os.PRIO_PROCESS, thread) + STEPS))
