"""The file of an SQLite database: opened without its asynchronous driver, copied beside itself."""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import URL


def require_folder(url: URL) -> None:
    """Raises FileNotFoundError where the file's folder is not there, of which SQLite would name the file alone."""
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).parent.is_dir():
        raise FileNotFoundError(f"the folder {Path(url.database).parent} does not exist")


def open_file_once(url: URL) -> None:
    """Raises sqlite3.Error or FileNotFoundError where it cannot be opened: aiosqlite would leave a thread behind.

    Nothing to do for other databases. A new file is for its owner alone; SQLite gives its log the same permissions.
    """
    if url.get_backend_name() == "sqlite" and url.database:
        require_folder(url)
        with suppress(OSError):  # because it is there, or SQLite says what is wrong with the place
            Path(url.database).touch(mode=0o600, exist_ok=False)
        sqlite3.connect(url.database).close()


def copies_of(database: Path) -> list[Path]:
    """Earlier states of the database beside it: from before an upgrade or a downgrade, or moved aside as damaged."""
    kept = [f"{database.name}.before-", f"{database.name}.damaged-"]
    return sorted(file for file in database.parent.iterdir() if file.name.startswith(tuple(kept)))


def back_up(database: Path, version: str) -> Path:
    """Copy the database before it becomes this version: `NAME.before-VERSION`, instead of an earlier copy of that name.

    By SQLite's own means, so that what is still in the write-ahead log is in the copy. The copy appears when it is
    complete, with the permissions of the database. Raises sqlite3.Error and OSError.
    """
    kept = database.with_name(f"{database.name}.before-{version}")
    partial = kept.with_name(f"{kept.name}.part")
    partial.unlink(missing_ok=True)
    try:
        partial.touch(mode=0o600, exist_ok=False)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        shutil.copymode(database, partial)
        return partial.replace(kept)
    finally:
        partial.unlink(missing_ok=True)
