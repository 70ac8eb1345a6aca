"""Audio buffer of one utterance: appended to as it arrives, replayed to every route from its first sample."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass, field

import anyio

from app.domain.audio import AudioChunk, seconds
from app.domain.ports import Clock


@dataclass(slots=True)
class UtteranceAudio:
    clock: Clock
    complete_at: float | None = None
    """When the last chunk had arrived, in seconds of the clock; None while more may come."""
    _chunks: list[AudioChunk] = field(default_factory=list)
    _samples: int = 0
    _more: anyio.Event = field(default_factory=anyio.Event)
    """Set, and replaced, whenever there is more to read."""

    @property
    def seconds(self) -> float:
        """Length so far."""
        return seconds(self._samples)

    async def fill(self, utterance: AsyncIterable[AudioChunk]) -> None:
        """Append all of it; returns when it has ended."""
        async for chunk in utterance:
            self._chunks.append(chunk)
            self._samples += chunk.samples
            self._notify()
        self.complete_at = self.clock.now()
        self._notify()

    async def replay(self) -> AsyncGenerator[AudioChunk, None]:
        """All chunks from the first, then the others as they arrive. Any number of readers may replay."""
        at = 0
        while True:
            while at < len(self._chunks):
                yield self._chunks[at]
                at += 1
            if self.complete_at is not None:
                return
            await self._more.wait()

    def _notify(self) -> None:
        more, self._more = self._more, anyio.Event()
        more.set()
