"""Append-only logs on the local disk, a folder of them for each session.

A record is `mark | length | CRC-32 | payload`. A write that a crash or a full disk
cuts short leaves a torn end, which the next reader passes over and the next writer
cuts off; nothing before it is touched. One process at a time has the folder.
"""

import errno
import fcntl
import os
import shutil
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Literal, Protocol, TypeVar

import anyio
from anyio import to_thread

from app.domain.errors import ProviderBusy, ProviderDown, ProviderRefused

Fsync = Literal["always", "never"]
THREADS = 16
"""That write and read at once: most of them wait for the disk, which syncs many together."""


class Cipher(Protocol):
    """Encryption of a message under its name."""

    def close(self, message: bytes, name: str) -> bytes: ...
    def open(self, sealed: bytes, name: str) -> bytes: ...


_PLAIN, _SEALED = b"PLYr", b"PLYs"
_HEAD = struct.Struct("<4sII")
_GONE = ".gone-"
T = TypeVar("T")


class DiskSessionLog:
    """The runtime's Spool. `limit` bytes refuse new sessions; those that run go on until the disk is full."""

    def __init__(self, folder: Path, *, limit: int, fsync: Fsync, seal: Cipher | None) -> None:
        self.size_bytes = 0
        self._folder = folder
        self._limit = limit
        self._fsync = fsync == "always"
        self._seal = seal
        self._threads = anyio.CapacityLimiter(THREADS)
        self._counting = Lock()
        self._ends: dict[Path, int] = {}
        """Behind the last whole record, of each log that was appended to."""

    @property
    def has_space(self) -> bool:
        return self.size_bytes < self._limit

    async def append(self, session: str, log: str, records: Sequence[bytes]) -> None:
        path = self._folder / session / log
        packed = b"".join(self._packed(record, f"{session}/{log}") for record in records)
        await self._in_thread(lambda: self._append(path, packed))

    async def read(self, session: str, log: str) -> list[bytes]:
        path = self._folder / session / log
        blob = await self._in_thread(lambda: _read(path))
        return [self._unpacked(mark, payload, f"{session}/{log}") for mark, payload, _ in _records(blob)]

    async def log_names(self, session: str) -> list[str]:
        folder = self._folder / session
        return await self._in_thread(lambda: _names(folder))

    async def sessions(self) -> list[tuple[str, float]]:
        return await self._in_thread(self._sessions)

    async def remove_log(self, session: str, log: str) -> None:
        await self._in_thread(lambda: self._remove(self._folder / session / log))

    async def remove_session(self, session: str) -> None:
        await self._in_thread(lambda: self._forget(session))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with _translated():
            return await to_thread.run_sync(work, limiter=self._threads)

    # -- in a thread ---------------------------------------------------------------

    def _append(self, path: Path, packed: bytes) -> None:
        new_folder = False
        if new := path not in self._ends:
            new_folder = not path.parent.is_dir()
            path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if new:
                self._ends[path] = self._mended(file)
            end = self._ends[path]
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
                _sync_folder(folder)
        self._ends[path] = end + len(packed)
        self._grow(len(packed))

    def _mended(self, file: int) -> int:
        """Where the log's whole records end; what is torn behind them is cut off."""
        length = os.fstat(file).st_size
        whole = max((end for _, _, end in _records(os.pread(file, length, 0))), default=0)
        os.ftruncate(file, whole)
        self._grow(whole - length)
        return whole

    def _sessions(self) -> list[tuple[str, float]]:
        now = time.time()
        names = [name for name in _names(self._folder) if not name.startswith(".")]
        ages = {name: max(0.0, now - written) for name in names if (written := _written(self._folder / name))}
        return sorted(ages.items(), key=lambda item: (-item[1], item[0]))

    def _remove(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            length = path.stat().st_size
            path.unlink()
            self._grow(-length)
        self._ends.pop(path, None)

    def _forget(self, session: str) -> None:
        folder, gone = self._folder / session, self._folder / f"{_GONE}{session}"
        if not folder.is_dir():
            return
        self._grow(-_size(folder))
        folder.replace(gone)  # at once; what a crash leaves of it is cleared at the next start
        shutil.rmtree(gone)
        for path in [path for path in tuple(self._ends) if path.parent == folder]:
            del self._ends[path]

    def _grow(self, length: int) -> None:
        with self._counting:
            self.size_bytes += length

    def prepare(self) -> None:
        """Clear what was forgotten and count what is left. Blocking."""
        for gone in self._folder.glob(f"{_GONE}*"):
            shutil.rmtree(gone)
        self.size_bytes = sum(_size(self._folder / name) for name in _names(self._folder) if not name.startswith("."))

    # -- records -------------------------------------------------------------------

    def _packed(self, record: bytes, name: str) -> bytes:
        mark = _SEALED if self._seal else _PLAIN
        payload = self._seal.close(record, name) if self._seal else record
        return _HEAD.pack(mark, len(payload), zlib.crc32(payload)) + payload

    def _unpacked(self, mark: bytes, payload: bytes, name: str) -> bytes:
        if mark == _PLAIN:
            return payload
        if self._seal is None:
            raise ProviderRefused("spool", f"{name} is encrypted, and PARLEY_ARCHIVE_KEY is not set")
        return self._seal.open(payload, name)


def _records(blob: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Mark, payload and end of every whole record; damaged bytes between them are passed over."""
    at = 0
    while at + _HEAD.size <= len(blob):
        mark, length, checksum = _HEAD.unpack_from(blob, at)
        payload = blob[at + _HEAD.size : at + _HEAD.size + length]
        if mark in (_PLAIN, _SEALED) and len(payload) == length and zlib.crc32(payload) == checksum:
            at += _HEAD.size + length
            yield mark, payload, at
        else:
            next_marks = [found for m in (_PLAIN, _SEALED) if (found := blob.find(m, at + 1)) >= 0]
            at = min(next_marks, default=len(blob))


def _write_all(file: int, packed: bytes, at: int) -> None:
    view = memoryview(packed)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _written(folder: Path) -> float:
    """When something in this folder was last written; 0 where it is gone by now."""
    times = []
    for path in (folder, *(folder / name for name in _names(folder))):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ProviderBusy("spool", "the disk is full") from error
        raise ProviderDown("spool", f"the disk fails: {error.strerror}") from error


@asynccontextmanager
async def open_session_log(
    *, folder: Path, limit: int = 2 << 30, fsync: Fsync = "always", seal: Cipher | None = None
) -> AsyncIterator[DiskSessionLog]:
    """The spool in this folder, made if need be. Raises ProviderRefused where it is not to be had."""
    lock = await to_thread.run_sync(_locked, folder)
    try:
        session_log = DiskSessionLog(folder, limit=limit, fsync=fsync, seal=seal)
        await to_thread.run_sync(session_log.prepare)
        yield session_log
    finally:
        os.close(lock)


def _locked(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ProviderRefused("spool", f"cannot use {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ProviderRefused(
            "spool", f"another process has {folder}; each needs a PARLEY_SPOOL_DIR of its own"
        ) from error
    return lock
