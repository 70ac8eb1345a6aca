"""Blob store in a local folder: each blob is a file, written atomically."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeVar

import anyio
from anyio import to_thread

from app.domain.disk_errors import translate_disk_errors
from app.domain.errors import BlobNotFound, ProviderRefused
from storage.fsync import fsync_folder

PROVIDER = "filesystem"
THREADS = 16
"""That read and write at once; a limiter of its own, because speech engines need the threads of the default one."""
T = TypeVar("T")


class FilesystemBlobStore:
    """A key is a relative path. A blob appears under its name only when it is whole and on the disk."""

    def __init__(self, folder: Path, *, fsync_folder: Callable[[Path], None] = fsync_folder) -> None:
        self._folder = folder
        self._fsync_folder = fsync_folder
        self._threads = anyio.CapacityLimiter(THREADS)

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:  # noqa: ARG002 because files have none
        path = self._path(key)
        with translate_disk_errors(PROVIDER):
            await self._in_thread(lambda: self._write(path, data))

    async def get(self, key: str) -> bytes:
        path = self._path(key)
        with translate_disk_errors(PROVIDER):
            try:
                return await self._in_thread(path.read_bytes)
            except (FileNotFoundError, IsADirectoryError) as error:
                raise BlobNotFound(key) from error

    async def delete(self, key: str) -> None:
        path = self._path(key)
        with translate_disk_errors(PROVIDER):
            await self._in_thread(lambda: path.unlink(missing_ok=True))
        with suppress(OSError):  # a folder with other blobs in it stays
            for folder in path.relative_to(self._folder).parents[:-1]:
                await self._in_thread((self._folder / folder).rmdir)

    async def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        for key in await self._in_thread(lambda: self._keys(prefix)):
            yield key

    async def url(self, key: str) -> str | None:
        return self._path(key).as_uri()

    async def purge_versions(self, prefix: str) -> Sequence[str]:  # noqa: ARG002 because a folder has none
        return ()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._threads)

    def _keys(self, prefix: str) -> list[str]:
        folder = self._folder / prefix[: prefix.rfind("/") + 1]
        paths = (path.relative_to(self._folder) for path in folder.rglob("*") if path.is_file())
        return sorted(
            key
            for path in paths
            if (key := path.as_posix()).startswith(prefix) and not any(part.startswith(".") for part in path.parts)
        )

    def _path(self, key: str) -> Path:
        try:
            path = (self._folder / key).resolve()
        except (OSError, ValueError) as error:  # too long a name, or a zero byte in it
            raise ProviderRefused(PROVIDER, f"the key {key[:64]!r} is no path") from error
        if not path.is_relative_to(self._folder) or path == self._folder:
            raise ProviderRefused(PROVIDER, f"the key {key!r} leads out of the store")
        return path

    def _write(self, path: Path, data: bytes) -> None:
        new_folders = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:  # because no half-written file stays, whatever happened
                Path(file.name).unlink(missing_ok=True)
                raise
        for folder in (path.parent, *(folder.parent for folder in new_folders)):
            self._fsync_folder(folder)  # or a power cut takes the name, while the session log's copy is removed


@asynccontextmanager
async def open_filesystem(*, folder: Path) -> AsyncIterator[FilesystemBlobStore]:
    """A store in this folder, made if need be. Raises ProviderRefused where it cannot be written to."""
    yield FilesystemBlobStore(await to_thread.run_sync(_writable, folder))


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ProviderRefused(PROVIDER, f"cannot use {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise ProviderRefused(PROVIDER, f"cannot use {folder}: not writable")
    return folder.resolve()
