"""Audio on its way into a stream."""

from collections.abc import AsyncIterable
from contextlib import suppress

import anyio

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk, ms
from app.domain.errors import ProviderError
from providers.aws.lifetime import StreamLimits
from providers.aws.stream import StreamUtterance, TranscribeStream

_PACKET_BYTES = ms(50) * BYTES_PER_SAMPLE
"""Smaller pieces make the service lag."""

_CLOSING = bytes(ms(300) * BYTES_PER_SAMPLE)
"""Silence behind the endpoint, at once, so that the service need not wait for it to make up its mind."""

_MORE = bytes(ms(100) * BYTES_PER_SAMPLE)


async def keepalive(stream: TranscribeStream, limits: StreamLimits) -> None:
    """Keep the service from giving up on an utterance that has stopped in the middle, as a phone in a tunnel does.

    The words behind such a hole are placed later by the little silence it was filled with.
    """
    with suppress(ProviderError):  # because the utterance hears of it from the stream itself
        while True:
            due_in = stream.state.fed_at + limits.feed_every_s - anyio.current_time()
            if due_in > 0:
                await anyio.sleep(due_in)
            else:
                await stream.send(bytes(ms(limits.feed_ms) * BYTES_PER_SAMPLE))


async def feed(utterance: AsyncIterable[AudioChunk], stream: TranscribeStream, hearing: StreamUtterance) -> None:
    """Send what is said, as it is said, and silence behind it until somebody stops us."""
    packet = bytearray()

    async def send() -> None:
        hearing.listen(bytes(packet), stream.samples)
        await stream.send(bytes(packet))
        packet.clear()

    try:
        async for chunk in utterance:
            packet += chunk.pcm
            if len(packet) >= _PACKET_BYTES:
                await send()
        await send()
        hearing.end(stream.samples, anyio.current_time())
        silence = _CLOSING
        while not stream.is_ended and not hearing.is_settled:
            await stream.send(silence)
            await anyio.sleep(0.1)
            silence = _MORE
    except Exception as fault:  # noqa: BLE001 because whatever stops the audio belongs to whoever waits for the words
        hearing.fail(fault)
