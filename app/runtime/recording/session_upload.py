"""Uploads one session from the session log to the blob store: its chunks, its replies, its manifest.

A live session, one that ended and one that a crash left behind go the same way. Blob names
say where the samples lie, so what is uploaded twice replaces itself.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest

import anyio
import msgspec
from anyio import to_thread
from anyio.lowlevel import checkpoint

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.ports import BlobStore
from app.domain.recording.blob_keys import chunk_key, index_key, manifest_key, reply_key, session_folder
from app.domain.recording.manifest import ArchivedChunk, Manifest
from app.media.encode import CONTENT_TYPE, encode
from app.runtime.recording import journal as jr
from app.runtime.recording.audio_log import assemble
from app.runtime.recording.journal import JournalReader, SessionJournal
from app.runtime.recording.session_log import SessionLog
from app.runtime.recording.tombstones import Tombstones, delete_blobs

CHUNKS_PER_MANIFEST = 6
"""Chunks between two manifests of a live session, at least; the last one is written when the session is over."""
MANIFEST_INTERVAL_GROWTH = 100
"""One more chunk between them for so many that are stored: a manifest names them all, so its cost grows with them."""


@dataclass(slots=True)
class SessionUpload:
    """The upload of one session; kept while the session is live, so that each run reads only what is new."""

    session_log: SessionLog
    store: BlobStore
    reader: JournalReader
    threads: anyio.CapacityLimiter
    """For encoding."""
    on_stored: Callable[[], None] = lambda: None
    """Called after each blob."""
    on_live_manifest: Callable[[], None] = lambda: None
    """Called after each manifest of a session that is live."""
    _next_manifest_at: int = 1
    """Chunks in the store with which a live session's next manifest is due."""

    async def run(
        self,
        *,
        is_live: bool,
        with_manifest: bool = True,
        before_manifest: Callable[[], Awaitable[None]] = checkpoint,
    ) -> bool:
        """Upload what will not grow any more; all there is where the session is not live, and then mark it WHOLE.

        The manifest comes last, behind `before_manifest`, which may raise to keep it back. False where the session
        was deleted: then nothing of it is kept, neither in the store nor in its logs. Raises a ProviderError; what was
        uploaded by then is not uploaded again.
        """
        journal = await self.reader.refresh()
        if journal.opened is None:  # the process died before the session's first record, or the session was deleted
            if not is_live:
                await self.session_log.remove_session(self.reader.session)
            return True
        folder = session_folder(self.reader.session, journal.opened.started)
        tombstones = Tombstones(self.store)
        if not await tombstones.exists(self.reader.session):
            if jr.WHOLE in await self.session_log.log_names(self.reader.session):
                return True  # stored by an earlier process; the manifest may have been rewritten since
            await self._upload_chunks(journal, folder, is_live=is_live)
            if with_manifest and self._is_manifest_due(journal, is_live=is_live):
                await before_manifest()
                await self._upload_manifest(journal, folder, is_live=is_live)
            if not await tombstones.exists(self.reader.session):
                if not is_live:
                    await self.session_log.append(self.reader.session, jr.WHOLE, [b"{}"])
                return True
        await delete_blobs(self.store, folder, journal.opened.tenant)
        await self.session_log.remove_session(self.reader.session)
        return False

    async def _upload_chunks(self, journal: SessionJournal, folder: str, *, is_live: bool) -> None:
        assert journal.opened is not None
        if not journal.chunks:
            await self.store.put(index_key(folder, journal.opened.tenant), b"{}", content_type="application/json")
        names = await self.session_log.log_names(self.reader.session)
        await self._upload_audio(names, journal.opened.audio, folder, is_live=is_live)
        await self._upload_replies(names, journal.opened.audio, folder, is_live=is_live)

    async def _upload_audio(self, names: list[str], audio: str, folder: str, *, is_live: bool) -> None:
        logs = [name for name in names if name.startswith(jr.AUDIO)]
        starts = [int(log.removeprefix(jr.AUDIO)) for log in logs]
        for log, start, end in zip_longest(logs, starts, starts[1:]):
            if end is None and is_live:
                continue
            if start not in self.reader.journal.chunks:
                records = await self.session_log.read(self.reader.session, log)
                assembled = assemble(records, start, end)
                if assembled.pcm:
                    key, checksum = await self._put_audio(chunk_key(folder, start), assembled.pcm, audio)
                    last = start + len(assembled.pcm) // BYTES_PER_SAMPLE
                    chunk = ArchivedChunk(key, start, last, checksum, lost=assembled.lost)
                    await self.reader.append_stored(jr.ChunkStored(chunk))
            await self.session_log.remove_log(self.reader.session, log)

    async def _upload_replies(self, names: list[str], audio: str, folder: str, *, is_live: bool) -> None:
        for log in [name for name in names if name.startswith(jr.REPLY)]:
            number = int(log.removeprefix(jr.REPLY))
            if number not in self.reader.journal.replies and is_live:
                continue
            if number not in self.reader.journal.reply_audio:
                pcm = b"".join(await self.session_log.read(self.reader.session, log))
                if pcm:
                    key, checksum = await self._put_audio(reply_key(folder, number), pcm, audio)
                    samples = len(pcm) // BYTES_PER_SAMPLE
                    await self.reader.append_stored(jr.ReplyStored(number, key, samples, checksum))
            await self.session_log.remove_log(self.reader.session, log)

    async def _put_audio(self, name: str, pcm: bytes, audio: str) -> tuple[str, str]:
        """The key and the SHA-256 of the blob."""
        blob = await to_thread.run_sync(encode, pcm, audio, limiter=self.threads)
        key = f"{name}.{audio}"
        await self.store.put(key, blob, content_type=CONTENT_TYPE[audio])
        self.on_stored()
        return key, sha256(blob).hexdigest()

    def _is_manifest_due(self, journal: SessionJournal, *, is_live: bool) -> bool:
        return not is_live or len(journal.chunks) >= self._next_manifest_at

    async def _upload_manifest(self, journal: SessionJournal, folder: str, *, is_live: bool) -> None:
        blob = await to_thread.run_sync(
            lambda: encode_manifest(journal.manifest(is_live=is_live)), limiter=self.threads
        )
        await self.store.put(manifest_key(folder), blob, content_type="application/json")
        chunks = len(journal.chunks)
        self._next_manifest_at = chunks + CHUNKS_PER_MANIFEST + chunks // MANIFEST_INTERVAL_GROWTH
        if is_live:
            self.on_live_manifest()


def encode_manifest(manifest: Manifest) -> bytes:
    """As it is stored: JSON, indented. Takes milliseconds for a long session."""
    return msgspec.json.format(msgspec.json.encode(manifest))
