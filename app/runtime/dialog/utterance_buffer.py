"""The audio of one utterance: appended by the session's loop, read by engines at their own pace."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import anyio

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk


@dataclass(slots=True)
class UtteranceBuffer:
    """Append-only, so that a reader that breaks off does nothing to the writer, and another begins at the start.

    Bounded by the longest utterance (`EndpointingRules.max_utterance_ms`).
    """

    start: int
    """First sample, in samples of the session."""
    pcm: bytearray = field(default_factory=bytearray)
    complete: bool = False
    """The utterance is over: no more audio will come."""
    _changed: anyio.Event | None = None
    """Set at the next change; None while no reader waits."""

    def append(self, pcm: bytes) -> None:
        self.pcm += pcm
        self._wake_readers()

    def close(self) -> None:
        """No more audio will come: readers end behind the last sample."""
        self.complete = True
        self._wake_readers()

    def snapshot(self) -> AsyncGenerator[AudioChunk, None]:
        """All audio up to this call, as one chunk."""
        return _one(AudioChunk(bytes(self.pcm), self.start))

    async def stream(self) -> AsyncGenerator[AudioChunk, None]:
        """All audio from the first sample on, as it comes, until close()."""
        at = 0
        while True:
            if at < len(self.pcm):
                piece = bytes(self.pcm[at:])
                yield AudioChunk(piece, self.start + at // BYTES_PER_SAMPLE)
                at += len(piece)
            elif self.complete:
                return
            else:
                self._changed = self._changed or anyio.Event()
                await self._changed.wait()

    def _wake_readers(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


async def _one(chunk: AudioChunk) -> AsyncGenerator[AudioChunk, None]:
    yield chunk
