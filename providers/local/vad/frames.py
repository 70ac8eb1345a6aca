"""Chunks of any size, cut anew into frames of one size."""

from collections.abc import AsyncGenerator, AsyncIterable

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk


async def framed(audio: AsyncIterable[AudioChunk], samples: int) -> AsyncGenerator[AudioChunk, None]:
    """Every sample once and in order, so many at a time; the rest comes when the audio ends."""
    size = samples * BYTES_PER_SAMPLE
    held, start = b"", 0
    async for chunk in audio:
        if not held:
            start = chunk.start
        held += chunk.pcm
        whole = len(held) - len(held) % size
        for at in range(0, whole, size):
            yield AudioChunk(held[at : at + size], start)
            start += samples
        held = held[whole:]
    if held:
        yield AudioChunk(held, start)
