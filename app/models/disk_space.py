"""Checks free disk space, and translates disk errors to ModelUnavailable."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.domain.errors import ModelUnavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def require_disk_space(folder: Path, needed: int) -> None:
    """Refuse a download that does not fit.

    Raises:
        ModelUnavailable: the disk under `folder` has fewer than `needed` bytes free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelUnavailable(
            f"The disk under {folder} has {megabytes(free)} free and {megabytes(needed)} are needed: "
            "free some space, or choose another folder with --models-dir."
        )


@contextmanager
def translate_disk_errors(folder: Path) -> Iterator[None]:
    """Raises ModelUnavailable, with what to do, for an OSError about the models folder."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ModelUnavailable(
                f"The disk under {folder} is full: free some space and pull again; what has been fetched is kept."
            ) from error
        raise ModelUnavailable(
            f"The models folder {folder} cannot be used ({error.strerror or error}): "
            "choose another one with --models-dir, or set its permissions."
        ) from error


def is_disk_full_message(message: str) -> bool:
    """Whether a Python program's error message says that the disk is full."""
    return any(f"Errno {number}]" in message for number in _FULL)


def megabytes(size: int) -> str:
    """A size for people: 145.2 MB."""
    return f"{size / 1e6:.1f} MB"
