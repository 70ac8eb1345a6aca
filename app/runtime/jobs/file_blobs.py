"""FileBlobs: the bytes of uploaded files in the blob store, in parts, until they are transcribed."""

import secrets
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread

from app.domain.disk_errors import translate_disk_errors
from app.domain.errors import BlobNotFound, BlobUnreadable
from app.domain.job import FilePart
from app.domain.ports import BlobStore
from app.domain.recording.blob_keys import UPLOADS, upload_part_key

PART_BYTES = 4 << 20
"""Of one part, at most: so much of each body that is being received is in memory."""
THREADS = 4


@dataclass(frozen=True, slots=True)
class FileBlobs:
    """Every method raises a ProviderError where the store fails."""

    store: BlobStore
    scratch: Path | None = None
    """Folder for the copy that is decoded, a file without a name; None: the system's."""
    _threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(THREADS))

    async def put(self, job: str, start: int, data: bytes) -> FilePart:
        """Store a part. Its key is its own, so that two processes that store the same bytes overwrite nothing."""
        part = FilePart(start, len(data), upload_part_key(job, start, secrets.token_hex(4)))
        await self.store.put(part.key, data, content_type="application/octet-stream")
        return part

    async def open_copy(self, parts: Sequence[FilePart], length: int) -> BinaryIO:
        """A copy of the file on the local disk, for a decoder.

        Raises BlobUnreadable where a part is missing or damaged, ProviderBusy where the disk is full.
        """
        with ExitStack() as resources, translate_disk_errors("recordings"):
            file = resources.enter_context(tempfile.TemporaryFile(dir=self.scratch))
            at = 0
            for part in parts:
                data = await self._read(part)
                if part.start != at or len(data) != part.length:
                    raise _damaged()
                at += len(data)
                await to_thread.run_sync(file.write, data, limiter=self._threads)
            if at != length:
                raise _damaged()
            await to_thread.run_sync(file.seek, 0, limiter=self._threads)
            resources.pop_all()
        return file

    async def _read(self, part: FilePart) -> bytes:
        try:
            return await self.store.get(part.key)
        except BlobNotFound as error:
            raise _damaged() from error

    async def delete(self, job: str) -> int:
        """Delete every part of this job's file, also those that no row names. How many there were."""
        async with aclosing(self.store.keys(f"{UPLOADS}{job}/")) as keys:
            found = [key async for key in keys]
        for key in found:
            await self.store.delete(key)
        if found:
            await self.store.purge_versions(f"{UPLOADS}{job}/")
        return len(found)

    async def jobs(self) -> set[str]:
        """Every job that has a part in the store. Lists the parts of all jobs."""
        async with aclosing(self.store.keys(UPLOADS)) as keys:
            return {key.split("/")[1] async for key in keys}


def _damaged() -> BlobUnreadable:
    return BlobUnreadable("recordings", "the file was damaged in the store; send it again")
