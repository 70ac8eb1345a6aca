"""Finds, reads and deletes recordings in the blob store."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256

import anyio
import msgspec
import structlog
from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.errors import BlobNotFound, BlobUnreadable, ClientError, ClientFault
from app.domain.ports import BlobStore
from app.domain.recording.blob_keys import index_key, index_prefix, manifest_key, session_folder
from app.domain.recording.listing import RecordingRef
from app.domain.recording.manifest import FORMAT, Manifest, defect_of
from app.domain.recording.manifest_rewrite import keep_unknown_fields
from app.domain.recording.session_id import date_of, parse_session_id
from app.json_input import decode_json
from app.media.decode import decode_exactly
from app.runtime.recording.recording_index import RecordingIndex
from app.runtime.recording.tombstones import DeletedBlobs, Tombstones, delete_blobs

_manifest = msgspec.json.Decoder(Manifest)
_json = msgspec.json.Decoder()
_log = structlog.get_logger("parley.archive")


def ignore_loss(_start: int, _end: int) -> None:
    """For callers that do not tell anyone which samples are silence."""


@dataclass(frozen=True, slots=True)
class RecordingStore:
    """Every method raises what the blob store raises: ProviderErrors, and BlobNotFound where it is said."""

    store: BlobStore
    threads: anyio.CapacityLimiter | None = None
    """For decoding; None: the default limiter."""
    index: RecordingIndex | None = None
    """None: there is no database, and recordings are found in the store alone."""

    @property
    def tombstones(self) -> Tombstones:
        return Tombstones(self.store)

    async def list_refs(self, *, tenant: str | None = None, date: str = "") -> AsyncGenerator[RecordingRef, None]:
        """Sessions of a tenant, or of all, and of a day, or of all; each tenant's in the order of their days."""
        prefixes = ("index/", "tenants/") if tenant is None else (index_prefix(tenant),)
        for prefix in prefixes:
            within = prefix if prefix == "tenants/" else f"{prefix}{date}"
            async with aclosing(self.store.keys(within)) as keys:
                async for key in keys:
                    *owner, day, session = key.split("/")[1:]
                    if day.startswith(date):
                        yield RecordingRef(day, session, *owner)

    async def folder(self, session: str) -> str:
        """The prefix of the session's blobs. Raises BlobNotFound."""
        session = parse_session_id(session)
        day = date_of(session) or (await self.find(session)).day
        return session_folder(session, day)

    async def find(self, session: str) -> RecordingRef:
        """The session's entry in the index, which is there even where the manifest cannot be read.

        Raises BlobNotFound.
        """
        async with aclosing(self.list_refs(date=date_of(session) or "")) as refs:
            async for ref in refs:
                if ref.session == session:
                    return ref
        raise BlobNotFound(session)

    async def is_listed(self, session: str, tenant: str) -> bool:
        """Whether the index of this tenant has the session; one request."""
        try:
            await self.store.get(index_key(await self.folder(session), tenant))
        except BlobNotFound:
            return False
        return True

    async def manifest(self, session: str) -> Manifest:
        """Raises BlobNotFound; BlobUnreadable where it is damaged, of a later format or under another key."""
        return await self._read_manifest(await self.folder(session))

    async def manifest_at(self, ref: RecordingRef) -> Manifest:
        """The same, without a search for the day."""
        return await self._read_manifest(session_folder(ref.session, ref.day))

    async def _read_manifest(self, folder: str) -> Manifest:
        key = manifest_key(folder)
        blob = await self.store.get(key)
        try:
            manifest = await to_thread.run_sync(decode_json, blob, _manifest, limiter=self.threads)
        except msgspec.DecodeError as error:
            raise BlobUnreadable("archive", f"{key} is no manifest: {error}") from error
        if manifest.format > FORMAT:
            raise BlobUnreadable("archive", f"{key} has format {manifest.format}; this version reads {FORMAT}")
        if defect := defect_of(manifest):
            raise BlobUnreadable("archive", f"{key} is no manifest: {defect}")
        if manifest.session != folder.rpartition("/")[2]:
            raise BlobUnreadable("archive", f"{key} is the manifest of another recording")
        if any(not each.startswith(f"{folder}/") for each in manifest.blob_keys):
            raise BlobUnreadable("archive", f"{key} names blobs of another recording")  # whose tenant may be another
        return manifest

    async def put_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest of a session that is over; fields that a later version has added stay.

        Raises BlobNotFound where the session was deleted. Then nothing is left of it: this manifest, and what was
        stored for it before, are deleted.
        """
        folder = session_folder(manifest.session, manifest.started)
        if not await self.tombstones.exists(manifest.session):
            try:
                stored: bytes | None = await self.store.get(manifest_key(folder))
            except (BlobNotFound, BlobUnreadable):
                stored = None
            blob = await to_thread.run_sync(_rewritten, manifest, stored, limiter=self.threads)
            await self.store.put(manifest_key(folder), blob, content_type="application/json")
            if not await self.tombstones.exists(manifest.session):
                return
        await delete_blobs(self.store, folder, manifest.tenant)
        raise BlobNotFound(manifest.session)

    async def read_pcm(
        self,
        manifest: Manifest,
        start: int = 0,
        end: int | None = None,
        *,
        on_loss: Callable[[int, int], None] = ignore_loss,
    ) -> AsyncGenerator[bytes, None]:
        """PCM of the samples [start, end), a chunk at a time.

        A chunk that is missing or damaged is silence of its length, and `on_loss` gets its samples [start, end).
        """
        end = manifest.samples if end is None else min(end, manifest.samples)
        for chunk in manifest.chunks:
            if chunk.start < end and start < chunk.end:
                samples = chunk.end - chunk.start
                try:
                    pcm = await self.read_audio_blob(chunk.key, samples, chunk.sha256)
                except (BlobNotFound, BlobUnreadable) as error:
                    _log.warning("audio lost", session=manifest.session, key=chunk.key, message=str(error))
                    on_loss(max(start, chunk.start), min(end, chunk.end))
                    pcm = bytes(samples * BYTES_PER_SAMPLE)
                first, last = max(start, chunk.start) - chunk.start, min(end, chunk.end) - chunk.start
                yield pcm[first * BYTES_PER_SAMPLE : last * BYTES_PER_SAMPLE]

    async def missing_audio(self, manifest: Manifest, start: int, end: int) -> list[tuple[int, int]]:
        """Samples of [start, end) whose chunks are not in the store. Lists the session's folder; reads no chunk."""
        async with aclosing(self.store.keys(f"{await self.folder(manifest.session)}/")) as keys:
            present = {key async for key in keys}
        return [
            (max(start, chunk.start), min(end, chunk.end))
            for chunk in manifest.chunks
            if chunk.start < end and start < chunk.end and chunk.key not in present
        ]

    async def read_audio_blob(self, key: str, samples: int, checksum: str | None) -> bytes:
        """One blob of audio as PCM, of this many samples.

        Raises BlobNotFound; BlobUnreadable where its SHA-256 is not `checksum` or it cannot be decoded.
        """
        blob = await self.store.get(key)
        try:
            return await to_thread.run_sync(_verified_pcm, blob, samples, checksum, limiter=self.threads)
        except ClientError as error:
            raise BlobUnreadable("archive", f"{key} is damaged") from error

    async def delete(self, session: str, tenant: str) -> DeletedBlobs:
        """Delete every blob of this tenant's session, the manifest and the store's index last; and its row."""
        try:
            deleted = await delete_blobs(self.store, await self.folder(session), tenant)
        except BlobNotFound:
            deleted = DeletedBlobs()
        if self.index is not None:
            await self.index.remove(session)
        return deleted


def _rewritten(manifest: Manifest, stored: bytes | None) -> bytes:
    """Blocking."""
    try:
        before = decode_json(stored or b"{}", _json)
    except msgspec.DecodeError:  # what is damaged has nothing to keep
        before = {}
    rewritten = msgspec.json.decode(msgspec.json.encode(manifest))
    return msgspec.json.format(msgspec.json.encode(keep_unknown_fields(before, rewritten)))


def _verified_pcm(blob: bytes, samples: int, checksum: str | None) -> bytes:
    """Raises ClientError where the blob is not the one that was stored. Blocking."""
    if checksum is not None and sha256(blob).hexdigest() != checksum:
        raise ClientError(ClientFault.BAD_AUDIO, "its SHA-256 is not that of the manifest")
    return decode_exactly(blob, samples)
