"""Synthetic utterances for tests that need audio and no words."""

from collections.abc import AsyncIterator

import anyio

from app.domain.audio import AudioChunk, ms

SOUND = b"\x00\x10"
SILENCE = b"\x00\x00"


async def utterance(
    length_ms: int, *, sample: bytes = SOUND, chunk_ms: int = 100, every_s: float = 0.0
) -> AsyncIterator[AudioChunk]:
    """Chunks of one length (the last may be shorter), each `every_s` after the one before."""
    for start in range(0, ms(length_ms), ms(chunk_ms)):
        samples = min(ms(chunk_ms), ms(length_ms) - start)
        yield AudioChunk(sample * samples, start)
        await anyio.sleep(every_s)
