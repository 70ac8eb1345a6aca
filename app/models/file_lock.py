"""Inter-process lock (flock) around a model download."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.models.progress import Progress


@contextmanager
def file_lock(lock: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file `lock`, which stays behind empty; the system releases it when the process ends in any way."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another pull", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
