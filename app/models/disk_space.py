"""Whether the disk has room, and what to say when it has not."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.domain.errors import ModelUnavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def require_disk_space(folder: Path, needed: int) -> None:
    """Refuse before anything is fetched that could not be kept.

    Raises:
        ModelUnavailable: the disk under `folder` has fewer than `needed` bytes free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelUnavailable(
            f"The disk under {folder} has {megabytes(free)} free and {megabytes(needed)} are needed: "
            "make room, or choose another folder with --models-dir."
        )


@contextmanager
def disk_faults(folder: Path) -> Iterator[None]:
    """What the operating system says of the models folder, in our words."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ModelUnavailable(
                f"The disk under {folder} is full: make room and pull again; what has been fetched is kept."
            ) from error
        raise ModelUnavailable(
            f"The models folder {folder} cannot be used ({error.strerror or error}): "
            "choose another one with --models-dir, or set its permissions."
        ) from error


def is_full(message: str) -> bool:
    """Whether another program's message says that the disk is full."""
    return any(f"Errno {number}]" in message for number in _FULL)


def megabytes(size: int) -> str:
    """A size as one would say it: 145.2 MB."""
    return f"{size / 1e6:.1f} MB"
