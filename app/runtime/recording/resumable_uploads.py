"""Resumable uploads: files that come in pieces over connections that break, each kept in a folder until it is whole."""

import re
import secrets
import time
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from app.domain.disk_errors import translate_disk_errors
from app.domain.errors import BlobNotFound, ClientError, ClientFault
from app.domain.tenant import DEFAULT_TENANT

_NAME = re.compile("[0-9a-f]{32}-[0-9]{1,15}(-[a-z0-9][a-z0-9-]*)?")
"""Random id, length in bytes, tenant; older names have no tenant."""
EXPIRE_AFTER_S = 24 * 3600
"""An upload that grew no more for so long is deleted."""
PROVIDER = "uploads"


@dataclass(slots=True)
class ResumableUploads:
    """Uploads under way, by name. What has arrived is on the disk and survives a restart.

    Every method raises ProviderBusy where the disk is full, and ProviderDown where it fails.
    """

    folder: Path
    max_bytes: int
    _busy: set[str] = field(default_factory=set)

    async def create(self, length: int, tenant: str = DEFAULT_TENANT.name) -> str:
        """The name of a new upload of so many bytes; it says whose. Raises ClientError where they are too many."""
        if length > self.max_bytes:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {self.max_bytes >> 20} MB")
        name = f"{secrets.token_hex(16)}-{length}-{tenant}"
        with translate_disk_errors(PROVIDER):
            await to_thread.run_sync(self._create, name)
        return name

    async def offset(self, name: str) -> tuple[int, int]:
        """How many bytes are here, of how many. Raises BlobNotFound."""
        path = self.path(name)
        try:
            return (await to_thread.run_sync(path.stat)).st_size, int(name.split("-")[1])
        except FileNotFoundError:
            raise BlobNotFound(name) from None

    async def append(self, name: str, offset: int, pieces: AsyncIterable[bytes]) -> bool:
        """Whether the file is whole now.

        Raises ClientError where the bytes do not belong there, BlobNotFound where there is no such upload, any more.
        """
        here, length = await self.offset(name)
        if offset != here or name in self._busy:
            raise ClientError(ClientFault.BAD_PACKET, f"the next byte is number {here}")
        self._busy.add(name)
        try:
            async for piece in pieces:
                here += len(piece)
                if here > length:
                    raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the upload said it has {length} bytes")
                with translate_disk_errors(PROVIDER):
                    await self._append(name, piece)
        finally:
            self._busy.discard(name)
        return here == length

    async def _append(self, name: str, piece: bytes) -> None:
        try:
            await to_thread.run_sync(_append, self.path(name), piece)
        except FileNotFoundError:
            raise BlobNotFound(name) from None

    async def take(self, name: str) -> BinaryIO:
        """The file, open for reading, which is no upload any more; once. Raises BlobNotFound."""
        path = self.path(name)
        try:
            return await to_thread.run_sync(_take, path)
        except FileNotFoundError:
            raise BlobNotFound(name) from None

    async def delete(self, name: str) -> None:
        with translate_disk_errors(PROVIDER):
            await to_thread.run_sync(lambda: self.path(name).unlink(missing_ok=True))

    def path(self, name: str) -> Path:
        """Where its bytes are. Raises BlobNotFound for what is no upload's name."""
        if not _NAME.fullmatch(name):
            raise BlobNotFound(name[:64])
        return self.folder / name

    def owner(self, name: str) -> str:
        """The tenant whose upload it is. Raises BlobNotFound as path() does."""
        return self.path(name).name.partition("-")[2].partition("-")[2] or DEFAULT_TENANT.name

    def _create(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another request deleted it meanwhile
                if path.stat().st_mtime < time.time() - EXPIRE_AFTER_S and path.name not in self._busy:
                    path.unlink()
        (self.folder / name).touch()


def _append(path: Path, piece: bytes) -> None:
    """To a file that is there: one that was deleted meanwhile must not come back with a hole."""
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        try:
            file.write(piece)
            file.flush()
        except OSError:
            file.truncate(end)  # nothing of the piece, so that the client can send it again
            raise


def _take(path: Path) -> BinaryIO:
    file = path.open("rb")
    try:
        path.unlink()  # raises where another request took it first
    except BaseException:  # because the file would stay open, whatever happened
        file.close()
        raise
    return file
