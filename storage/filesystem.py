"""Blobs as files under a folder."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from anyio import to_thread

from app.domain.errors import BlobNotFound, ProviderDown, ProviderRefused


class FilesystemBlobStore:
    """A key is a relative path. A blob appears under its name only when it is whole and on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:  # noqa: ARG002 because files have none
        path = self._path(key)
        try:
            await to_thread.run_sync(_write, path, data)
        except OSError as error:
            raise ProviderDown("filesystem", f"cannot write {path}: {error.strerror}") from error

    async def get(self, key: str) -> bytes:
        path = self._path(key)
        try:
            return await to_thread.run_sync(path.read_bytes)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise BlobNotFound(key) from error
        except OSError as error:
            raise ProviderDown("filesystem", f"cannot read {path}: {error.strerror}") from error

    async def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            await to_thread.run_sync(lambda: path.unlink(missing_ok=True))
        except OSError as error:
            raise ProviderDown("filesystem", f"cannot delete {path}: {error.strerror}") from error
        with suppress(OSError):  # a folder with other blobs in it stays
            for folder in path.relative_to(self._folder).parents[:-1]:
                await to_thread.run_sync((self._folder / folder).rmdir)

    async def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        for key in await to_thread.run_sync(self._keys, prefix):
            yield key

    async def url(self, key: str) -> str | None:
        return self._path(key).as_uri()

    def _keys(self, prefix: str) -> list[str]:
        folder = self._folder / prefix[: prefix.rfind("/") + 1]
        paths = (path.relative_to(self._folder) for path in folder.rglob("*") if path.is_file())
        return sorted(
            key
            for path in paths
            if (key := path.as_posix()).startswith(prefix) and not any(part.startswith(".") for part in path.parts)
        )

    def _path(self, key: str) -> Path:
        path = (self._folder / key).resolve()
        if not path.is_relative_to(self._folder) or path == self._folder:
            raise ProviderRefused("filesystem", f"the key {key!r} leads out of the store")
        return path


def _write(path: Path, data: bytes) -> None:
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


@asynccontextmanager
async def open_filesystem(*, folder: Path) -> AsyncIterator[FilesystemBlobStore]:
    """A store in this folder, made if need be. Raises ProviderRefused where it cannot be written to."""
    yield FilesystemBlobStore(await to_thread.run_sync(_usable, folder))


def _usable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProviderRefused("filesystem", f"cannot use {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise ProviderRefused("filesystem", f"cannot use {folder}: not writable")
    return folder.resolve()
