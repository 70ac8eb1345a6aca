"""Cut a stream of audio chunks of any size into frames of the size a detector needs."""

from collections.abc import AsyncGenerator, AsyncIterable

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk


async def reframe(audio: AsyncIterable[AudioChunk], frame_samples: int) -> AsyncGenerator[AudioChunk, None]:
    """Every sample once and in order, `frame_samples` at a time; the last frame may be shorter."""
    size = frame_samples * BYTES_PER_SAMPLE
    held, start = b"", 0
    async for chunk in audio:
        if not held:
            start = chunk.start
        held += chunk.pcm
        whole = len(held) - len(held) % size
        for at in range(0, whole, size):
            yield AudioChunk(held[at : at + size], start)
            start += frame_samples
        held = held[whole:]
    if held:
        yield AudioChunk(held, start)
