"""Thread pools of lower CPU priority."""

import os
import sys
import threading

import pytest

from providers.local.low_priority import NICENESS, low_priority_threads


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
def test_low_priority_threads_are_nicer_and_the_caller_is_not():
    """The thread that asked for them keeps its own priority."""
    before = niceness()

    with low_priority_threads(2, "nice") as threads:
        nice = {threads.submit(niceness).result() for _ in range(4)}

    assert nice == {min(19, before + NICENESS)}
    assert niceness() == before
