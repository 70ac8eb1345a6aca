"""Sends the audio of one utterance into a stream, and silence where there is none."""

from collections.abc import AsyncIterable
from contextlib import suppress

import anyio

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk, ms
from app.domain.errors import ParleyError
from providers.aws.lifetime import StreamLimits
from providers.aws.stream import StreamUtterance, TranscribeStream

_PACKET_BYTES = ms(50) * BYTES_PER_SAMPLE
"""Smaller pieces make the service lag."""

_TRAILING_SILENCE = bytes(ms(300) * BYTES_PER_SAMPLE)
"""Sent at once behind the endpoint, because the service settles a word only with the audio behind it."""

_FURTHER_SILENCE = bytes(ms(100) * BYTES_PER_SAMPLE)


async def keepalive(stream: TranscribeStream, limits: StreamLimits) -> None:
    """Send silence when an utterance stops in the middle, or the service closes the stream; runs until cancelled.

    Words behind such a hole are placed later by the length of the silence that filled it.
    """
    with suppress(ParleyError):  # because the utterance gets the stream's error from its reader
        while True:
            due_in_s = stream.usage.last_audio_at + limits.keepalive_every_s - anyio.current_time()
            if due_in_s > 0:
                await anyio.sleep(due_in_s)
            else:
                await stream.send(bytes(ms(limits.keepalive_ms) * BYTES_PER_SAMPLE))


async def send_utterance(
    audio: AsyncIterable[AudioChunk], stream: TranscribeStream, utterance: StreamUtterance
) -> None:
    """Send the audio as it comes, and silence behind it until the final is complete or the stream has ended.

    What stops the audio is raised by the utterance's `transcribe`.
    """
    packet = bytearray()

    async def send() -> None:
        utterance.observe_audio(bytes(packet), stream.samples)
        await stream.send(bytes(packet))
        packet.clear()

    try:
        async for chunk in audio:
            packet += chunk.pcm
            if len(packet) >= _PACKET_BYTES:
                await send()
        await send()
        utterance.mark_endpoint(stream.samples, anyio.current_time())
        silence = _TRAILING_SILENCE
        while not stream.is_ended and not utterance.is_complete:
            await stream.send(silence)
            await anyio.sleep(0.1)
            silence = _FURTHER_SILENCE
    except Exception as error:  # noqa: BLE001 because `transcribe` raises it
        utterance.fail(error)
