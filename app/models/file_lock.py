"""One process at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.models.progress import Progress


@contextmanager
def file_lock(lock: Path, progress: Progress) -> Iterator[None]:
    """Hold `lock`, a file that stays behind empty; the system lets go of it when the process ends, however it ends."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another pull", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
