"""A session's audio and words, on their way into the blob store.

Audio is gathered into chunks of some seconds, each stored as FLAC under
`sessions/DATE/ID/`; beside them lies `manifest.json`, written again with every
chunk and at the end. Few chunks may wait: while the store is behind, listening
waits, and with it the client's socket. No sample is dropped.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

import anyio
import msgspec
from anyio import to_thread

from app.domain import effects as do
from app.domain.audio import AudioChunk, ms
from app.domain.manifest import ArchivedChunk, ArchivedReply, Manifest, tile
from app.domain.ports import BlobStore
from app.media.flac import encode_flac

WAITING = 8
"""Full chunks that may wait for the store."""

Now = Callable[[], datetime]


@dataclass(slots=True)
class Recorder:
    """What one session leaves behind."""

    store: BlobStore
    manifest: Manifest
    chunk_ms: int
    _pcm: bytearray = field(default_factory=bytearray)
    _start: int = 0
    _waiting: deque[AudioChunk] = field(default_factory=deque)
    _more: anyio.Event = field(default_factory=anyio.Event)
    _storing: anyio.Lock = field(default_factory=anyio.Lock)
    _finals: list[do.ShowFinal] = field(default_factory=list)
    _ttfs_ms: dict[int, int] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return f"sessions/{self.manifest.started[:10]}/{self.manifest.session}"

    async def hear(self, chunk: AudioChunk) -> None:
        """Take a chunk; waits while the store is behind."""
        self._pcm += chunk.pcm
        if len(self._pcm) // 2 >= ms(self.chunk_ms):
            self._cut()
            self._more.set()
            if len(self._waiting) > WAITING:
                await self._flush()

    def note(self, effect: do.Effect, ttfs_ms: int | None) -> None:
        """Remember what belongs into the manifest."""
        match effect:
            case do.ShowFinal(utterance=number):
                self._finals.append(effect)
                if ttfs_ms is not None:
                    self._ttfs_ms[number] = ttfs_ms
            case do.ShowReply(turn, text):
                self.manifest = replace(self.manifest, replies=(*self.manifest.replies, ArchivedReply(turn, text)))
            case _:
                pass

    async def store_as_heard(self) -> None:
        """Store chunks as they fill; for ever."""
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            with anyio.CancelScope(shield=True):  # a chunk begun is stored whole
                await self._flush()

    async def finish(self, ended: datetime) -> None:
        """Store everything that is left."""
        if self._pcm:
            self._cut()
        await self._flush()
        self.manifest = replace(self.manifest, ended=_iso(ended))
        await self._write_manifest()

    def _cut(self) -> None:
        chunk = AudioChunk(bytes(self._pcm), self._start)
        self._start = chunk.end
        self._pcm.clear()
        self._waiting.append(chunk)

    async def _flush(self) -> None:
        async with self._storing:
            while self._waiting:
                await self._store(self._waiting[0])
                self._waiting.popleft()
                await self._write_manifest()

    async def _store(self, chunk: AudioChunk) -> None:
        blob = await to_thread.run_sync(encode_flac, chunk.pcm)
        key = f"{self.folder}/{chunk.start:012d}.flac"
        await self.store.put(key, blob, content_type="audio/flac")
        stored = ArchivedChunk(key, chunk.start, chunk.end, sha256(blob).hexdigest())
        self.manifest = replace(self.manifest, samples=chunk.end, chunks=(*self.manifest.chunks, stored))

    async def _write_manifest(self) -> None:
        samples = self.manifest.samples
        covered = [final for final in self._finals if final.start < samples]
        self.manifest = replace(self.manifest, finals=tile(covered, samples, self._ttfs_ms))
        written = msgspec.json.format(msgspec.json.encode(self.manifest))
        await self.store.put(f"{self.folder}/manifest.json", written, content_type="application/json")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


@asynccontextmanager
async def recording(
    store: BlobStore, session: str, *, now: Now, chunk_ms: int = 10_000
) -> AsyncGenerator[Recorder, None]:
    """Record a session; what is left at the end is stored even when the session is cancelled."""
    recorder = Recorder(store, Manifest(session, started=_iso(now())), chunk_ms)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.store_as_heard)
        try:
            yield recorder
        finally:
            with anyio.CancelScope(shield=True):
                await recorder.finish(now())
            tasks.cancel_scope.cancel()
