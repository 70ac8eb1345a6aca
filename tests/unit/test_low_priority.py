"""Threads that give way to speech."""

import os
import sys
import threading

import pytest

from providers.local.low_priority import STEPS, yielding_threads


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
def test_they_are_nicer_than_whoever_speaks_and_nobody_else_is():
    """The thread that asked for them keeps its own priority."""
    before = niceness()

    with yielding_threads(2, "nice") as threads:
        nice = {threads.submit(niceness).result() for _ in range(4)}

    assert nice == {min(19, before + STEPS)}
    assert niceness() == before
