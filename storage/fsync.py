"""Makes names in a folder durable: an fsync of a file alone does not say that the folder names it."""

import os
from pathlib import Path


def fsync_folder(folder: Path) -> None:
    """Return when the folder's entries are on the disk. Blocking."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
