"""The write-ahead log on the local disk: append-only logs of checksummed records, a folder of them for each session.

A write that a crash or a full disk cuts short leaves a torn end, which readers pass over and the next
writer cuts off; nothing before it is touched. One process at a time has the folder (`flock`).
"""

import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Literal, TypeVar

import anyio
import structlog
from anyio import to_thread

from app.domain.disk_errors import translate_disk_errors
from app.domain.errors import ProviderMisbehaved, ProviderRefused
from storage.fsync import fsync_folder
from storage.log_records import Cipher, LogRecord, pack, whole_records

Fsync = Literal["always", "never"]
PROVIDER = "session log"
THREADS = 16
"""That write and read at once: most of them wait for the disk, which syncs many together."""
RESERVE_BYTES = 64 << 20
"""With less free space on the disk no session begins; on small disks it is a twentieth of the disk."""
FULL_FOR_S = 10.0
"""After an append that found the disk or a quota full, no session begins for so long, whatever the free space."""

_DELETED, _REENCRYPTED = ".gone-", ".reencrypted"
T = TypeVar("T")

_log = structlog.get_logger("parley.archive")


class DiskSessionLog:
    """The runtime's SessionLog. At `limit` bytes no session begins; open ones continue until the disk is full."""

    def __init__(
        self,
        folder: Path,
        *,
        limit: int,
        fsync: Fsync,
        cipher: Cipher | None,
        reserve: int = RESERVE_BYTES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.size_bytes = 0
        self._folder = folder
        self._limit = limit
        self._fsync = fsync == "always"
        self._cipher = cipher
        self._reserve = reserve
        self._now = now
        self._full_until = 0.0
        self._threads = anyio.CapacityLimiter(THREADS)
        self._counting = Lock()
        self._ends: dict[Path, int] = {}
        """Behind the last whole record, of each log that was appended to."""

    @property
    def has_space(self) -> bool:
        """False at the limit, while the disk has less than the reserve, and for a while after it was found full."""
        return self.size_bytes < self._limit and self._now() >= self._full_until and self._disk_has_reserve()

    def _disk_has_reserve(self) -> bool:
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize >= min(self._reserve, disk.f_blocks * disk.f_frsize // 20)

    async def append(self, session: str, log: str, records: Sequence[bytes]) -> None:
        await self._in_thread(lambda: self._append(session, log, records))

    async def read(self, session: str, log: str) -> list[bytes]:
        records, _ = await self.read_from(session, log, 0)
        return records

    async def read_from(self, session: str, log: str, offset: int) -> tuple[list[bytes], int]:
        return await self._in_thread(lambda: self._read(session, log, offset))

    async def log_names(self, session: str) -> list[str]:
        folder = self._folder / session
        return await self._in_thread(lambda: _names(folder))

    async def sessions(self) -> list[tuple[str, float]]:
        return await self._in_thread(self._sessions)

    async def remove_log(self, session: str, log: str) -> None:
        await self._in_thread(lambda: self._remove_log(self._folder / session / log))

    async def remove_session(self, session: str) -> None:
        await self._in_thread(lambda: self._remove_session(session))

    async def reencrypt(self, session: str, log: str, *, dry_run: bool = False) -> bool:
        """Rewrite a log whose records are not all encrypted under the active key; False where there is nothing to do.

        The log is replaced at once, or not at all. With `dry_run` nothing is written. Raises BlobUnreadable where a
        record does not decrypt; the log stays then.
        """
        return await self._in_thread(lambda: self._reencrypt(session, log, dry_run=dry_run))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with translate_disk_errors(PROVIDER):
            return await to_thread.run_sync(work, limiter=self._threads)

    # -- in a thread ---------------------------------------------------------------

    def _append(self, session: str, log: str, records: Sequence[bytes]) -> None:
        try:
            self._append_records(self._folder / session / log, f"{session}/{log}", records)
        except OSError:
            self._full_until = self._now() + FULL_FOR_S
            raise
        self._full_until = 0.0

    def _append_records(self, path: Path, name: str, records: Sequence[bytes]) -> None:
        new_folder = False
        if new := path not in self._ends:
            new_folder = not path.parent.is_dir()
            path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if new:
                self._ends[path] = self._cut_torn_end(file)
            end = self._ends[path]
            packed = pack(records, name, end, self._cipher)
            try:
                _write_all(file, packed, end)
                if self._fsync:
                    os.fdatasync(file)
            except OSError:
                os.ftruncate(file, end)  # nothing of it, so that it can be tried again
                del self._ends[path]
                raise
        finally:
            os.close(file)
        if new and self._fsync:
            for folder in (path.parent, self._folder) if new_folder else (path.parent,):
                fsync_folder(folder)
        self._ends[path] = end + len(packed)
        self._grow(len(packed))

    def _cut_torn_end(self, file: int) -> int:
        """Where the log's whole records end; what is torn behind them is cut off."""
        length = os.fstat(file).st_size
        whole = max((record.end for record in whole_records(os.pread(file, length, 0))), default=0)
        os.ftruncate(file, whole)
        self._grow(whole - length)
        return whole

    def _read(self, session: str, log: str, offset: int) -> tuple[list[bytes], int]:
        found = list(whole_records(_read_bytes(self._folder / session / log, offset), offset))
        if lost := _bytes_between(found, offset):
            _log.warning("session log is damaged", session=session, log=log, lost_bytes=lost)
        messages = [record.message(f"{session}/{log}", self._cipher) for record in found]
        return messages, found[-1].end if found else offset

    def _reencrypt(self, session: str, log: str, *, dry_run: bool) -> bool:
        path, name = self._folder / session / log, f"{session}/{log}"
        before = _read_bytes(path, 0)
        found = list(whole_records(before))
        if self._cipher is None or all(record.is_current(self._cipher) for record in found):
            return False
        messages = [record.message(name, self._cipher) for record in found]
        if dry_run:
            return True
        packed = pack(messages, name, 0, self._cipher)
        if [record.message(name, self._cipher) for record in whole_records(packed)] != messages:
            raise ProviderMisbehaved(PROVIDER, f"{name} does not decrypt to what was encrypted, and stays as it is")
        replacement = self._folder / _REENCRYPTED
        file = os.open(replacement, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(file, packed, 0)
            os.fsync(file)
        finally:
            os.close(file)
        replacement.replace(path)
        fsync_folder(path.parent)
        self._ends.pop(path, None)
        self._grow(len(packed) - len(before))
        return True

    def _sessions(self) -> list[tuple[str, float]]:
        now = time.time()
        names = [name for name in _names(self._folder) if not name.startswith(".")]
        ages = {name: max(0.0, now - written) for name in names if (written := _last_write(self._folder / name))}
        return sorted(ages.items(), key=lambda item: (-item[1], item[0]))

    def _remove_log(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            length = path.stat().st_size
            path.unlink()
            self._grow(-length)
        self._ends.pop(path, None)

    def _remove_session(self, session: str) -> None:
        folder, deleted = self._folder / session, self._folder / f"{_DELETED}{session}"
        if not folder.is_dir():
            return
        self._grow(-_size(folder))
        folder.replace(deleted)  # at once; what a crash leaves of it is cleared at the next start
        shutil.rmtree(deleted)
        for path in [path for path in tuple(self._ends) if path.parent == folder]:
            del self._ends[path]

    def _grow(self, length: int) -> None:
        with self._counting:
            self.size_bytes += length

    def prepare(self) -> None:
        """Clear what a crash left half deleted and count the rest. Blocking."""
        for deleted in self._folder.glob(f"{_DELETED}*"):
            shutil.rmtree(deleted)
        self.size_bytes = sum(_size(self._folder / name) for name in _names(self._folder) if not name.startswith("."))


def _bytes_between(records: Sequence[LogRecord], offset: int) -> int:
    """Damaged bytes before the last of these records; what is torn behind it is no damage."""
    return records[-1].end - offset - sum(record.end - record.start for record in records) if records else 0


def _write_all(file: int, packed: bytes, at: int) -> None:
    view = memoryview(packed)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


def _read_bytes(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _last_write(folder: Path) -> float:
    """When something in this folder was last written (Unix time); 0 where it is gone by now."""
    times = []
    for path in (folder, *(folder / name for name in _names(folder))):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@asynccontextmanager
async def open_session_log(
    *,
    folder: Path,
    limit: int = 2 << 30,
    fsync: Fsync = "always",
    cipher: Cipher | None = None,
    reserve: int = RESERVE_BYTES,
) -> AsyncIterator[DiskSessionLog]:
    """The session log in this folder, made if need be. Raises ProviderRefused where it cannot be used."""
    lock = await to_thread.run_sync(_lock, folder)
    try:
        session_log = DiskSessionLog(folder, limit=limit, fsync=fsync, cipher=cipher, reserve=reserve)
        await to_thread.run_sync(session_log.prepare)
        yield session_log
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ProviderRefused(PROVIDER, f"cannot use {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ProviderRefused(
            PROVIDER, f"another process has {folder}; each needs a PARLEY_SPOOL_DIR of its own"
        ) from error
    return lock
