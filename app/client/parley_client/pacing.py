"""A recording as a microphone would give it: packet by packet, at the pace of speech."""

import asyncio
from collections.abc import AsyncGenerator

from parley_client.packets import BYTES_PER_SAMPLE

PACKET_MS = 40


async def paced(pcm: bytes, sample_rate: int, pace: float = 1.0) -> AsyncGenerator[bytes, None]:
    """Packets of 40 ms, each when its last sample has been spoken, `pace` times as fast; 0: at once."""
    now = asyncio.get_running_loop().time
    began = now()
    step = sample_rate * PACKET_MS // 1000 * BYTES_PER_SAMPLE
    for start in range(0, len(pcm), step):
        if pace:
            spoken_s = min(start + step, len(pcm)) / BYTES_PER_SAMPLE / sample_rate
            await asyncio.sleep(max(0.0, began + spoken_s / pace - now()))
        yield pcm[start : start + step]
