"""Files that come in pieces, over connections that break: each waits in a folder until it is whole."""

import re
import secrets
import time
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from pathlib import Path

from anyio import to_thread

from app.domain.errors import BlobNotFound, ClientError, ClientFault
from app.domain.tenant import OPEN

_NAME = re.compile("[0-9a-f]{32}-[0-9]+(-[a-z0-9][a-z0-9-]*)?")
KEPT_S = 24 * 3600
"""How long an upload may rest."""


@dataclass(slots=True)
class ResumableUploads:
    """Uploads under way, by name. What has arrived is on the disk and survives a restart."""

    folder: Path
    largest: int
    _busy: set[str] = field(default_factory=set)

    async def begin(self, length: int, tenant: str = OPEN.name) -> str:
        """The name of a new upload of so many bytes; it says whose. Raises ClientError where they are too many."""
        if length > self.largest:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {self.largest >> 20} MB")
        name = f"{secrets.token_hex(16)}-{length}-{tenant}"
        await to_thread.run_sync(self._begin, name)
        return name

    async def offset(self, name: str) -> tuple[int, int]:
        """How many bytes are here, of how many. Raises BlobNotFound."""
        path = self.path(name)
        try:
            return (await to_thread.run_sync(path.stat)).st_size, int(name.split("-")[1])
        except FileNotFoundError:
            raise BlobNotFound(name) from None

    async def append(self, name: str, offset: int, pieces: AsyncIterable[bytes]) -> bool:
        """Whether the file is whole now. Raises ClientError where the bytes do not belong here."""
        here, length = await self.offset(name)
        if offset != here or name in self._busy:
            raise ClientError(ClientFault.BAD_PACKET, f"the next byte is number {here}")
        self._busy.add(name)
        try:
            async for piece in pieces:
                here += len(piece)
                if here > length:
                    raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the upload said it has {length} bytes")
                await to_thread.run_sync(_append, self.path(name), piece)
        finally:
            self._busy.discard(name)
        return here == length

    async def drop(self, name: str) -> None:
        await to_thread.run_sync(lambda: self.path(name).unlink(missing_ok=True))

    def path(self, name: str) -> Path:
        """Where it lies. Raises BlobNotFound where that is no name of ours."""
        if not _NAME.fullmatch(name):
            raise BlobNotFound(name)
        return self.folder / name

    def owner(self, name: str) -> str:
        """Whose upload it is; older names do not say. Raises BlobNotFound as path() does."""
        return self.path(name).name.partition("-")[2].partition("-")[2] or OPEN.name

    def _begin(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.stat().st_mtime < time.time() - KEPT_S and path.name not in self._busy:
                path.unlink(missing_ok=True)
        (self.folder / name).touch()


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)
