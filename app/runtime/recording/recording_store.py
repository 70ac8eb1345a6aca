"""What is in the store: sessions by id and by day, their manifests, their sound."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.errors import BlobNotFound
from app.domain.ports import BlobStore
from app.domain.recording.manifest import ArchivedChunk, Manifest
from app.domain.tenant import OPEN
from app.media.codec import decode_chunk
from app.runtime.recording.session_upload import date_of, index_key, index_prefix

_manifest = msgspec.json.Decoder(Manifest)


@dataclass(frozen=True, slots=True, order=True)
class RecordingRef:
    """A session, as the index has it."""

    day: str
    session: str
    tenant: str = OPEN.name


@dataclass(frozen=True, slots=True)
class RecordingStore:
    store: BlobStore

    async def sessions(self, *, tenant: str | None = None, date: str = "") -> AsyncGenerator[RecordingRef, None]:
        """Every session of a tenant, or of all, and of a day, or of all; each tenant's in the order of their days."""
        prefixes = ("index/", "tenants/") if tenant is None else (index_prefix(tenant),)
        for prefix in prefixes:
            within = prefix if prefix == "tenants/" else f"{prefix}{date}"
            async with aclosing(self.store.keys(within)) as keys:
                async for key in keys:
                    *owner, day, session = key.split("/")[1:]
                    if day.startswith(date):
                        yield RecordingRef(day, session, *owner)

    async def folder(self, session: str) -> str:
        """Raises BlobNotFound."""
        if day := date_of(session):
            return f"sessions/{day}/{session}"
        async with aclosing(self.sessions()) as sessions:
            async for found in sessions:
                if found.session == session:
                    return f"sessions/{found.day}/{session}"
        raise BlobNotFound(session)

    async def manifest_at(self, day: str, session: str) -> Manifest:
        """Raises BlobNotFound."""
        return _manifest.decode(await self.store.get(f"sessions/{day}/{session}/manifest.json"))

    async def manifest(self, session: str) -> Manifest:
        """Raises BlobNotFound."""
        return _manifest.decode(await self.store.get(f"{await self.folder(session)}/manifest.json"))

    async def read_pcm(self, manifest: Manifest, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The samples from start to end, a chunk at a time."""
        end = manifest.samples if end is None else min(end, manifest.samples)
        for chunk in manifest.chunks:
            if chunk.start < end and start < chunk.end:
                pcm = await self._chunk(chunk)
                first, last = max(start, chunk.start) - chunk.start, min(end, chunk.end) - chunk.start
                yield pcm[first * BYTES_PER_SAMPLE : last * BYTES_PER_SAMPLE]

    async def _chunk(self, chunk: ArchivedChunk) -> bytes:
        return await self.read_blob(chunk.key, chunk.end - chunk.start)

    async def read_blob(self, key: str, samples: int) -> bytes:
        """One blob of sound as PCM, of this many samples. Raises BlobNotFound."""
        return await to_thread.run_sync(decode_chunk, await self.store.get(key), samples)

    async def delete(self, session: str, tenant: str) -> bool:
        """Delete every blob of this tenant's session, the manifest and the index last; False where there is none."""
        try:
            folder = await self.folder(session)
        except BlobNotFound:
            return False
        async with aclosing(self.store.keys(f"{folder}/")) as keys:
            doomed = sorted([key async for key in keys], key=lambda key: key.endswith("/manifest.json"))
        for key in doomed:
            await self.store.delete(key)
        await self.store.delete(index_key(folder, tenant))
        return bool(doomed)
