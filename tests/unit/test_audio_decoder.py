"""Decoding of files of unknown origin: limits, bounded concurrency, threads of its own."""

import io
from contextlib import aclosing

import anyio
import pytest
from anyio import to_thread

from app.domain.errors import ClientError, ClientFault, ProviderBusy
from app.domain.recording.wav import wav_header
from app.media.encode import encode
from app.media.sandbox import DecodingLimits
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.jobs.audio_decoder import AudioDecoder
from tests.clips import HANDS

pytestmark = pytest.mark.anyio


def plain_wav(seconds: int) -> io.BytesIO:
    return io.BytesIO(wav_header(16_000 * seconds) + bytes(32_000 * seconds))


def flac(seconds: int) -> io.BytesIO:
    return io.BytesIO(encode(bytes(32_000 * seconds), "flac"))


@pytest.mark.parametrize("file", [plain_wav(3), flac(3)])
async def test_decoder_refuses_audio_that_announces_more_than_the_limit_before_any_of_it(file):
    """Also a WAV that needs no decoder."""
    decoder, lengths, read = AudioDecoder(DecodingLimits(longest_s=2.0)), [], []

    with pytest.raises(ClientError, match="longer than") as refused:
        async with aclosing(decoder.decode(file, on_length=lengths.append)) as chunks:
            async for chunk in chunks:
                read.append(chunk)  # noqa: PERF401 because what came before the error counts

    assert (refused.value.code, lengths, read) == (ClientFault.BAD_AUDIO, [48_000], [])


async def test_wav_that_promises_more_than_it_has_is_as_long_as_it_is():
    """As a stream's header does."""
    decoder, lengths = AudioDecoder(DecodingLimits(longest_s=2.0)), []
    promised = io.BytesIO(wav_header(16_000 * 1000) + bytes(32_000))
    async with aclosing(decoder.decode(promised, on_length=lengths.append)) as chunks:
        samples = [chunk.samples async for chunk in chunks]

    assert (samples, lengths) == ([16_000], [16_000])


@pytest.mark.parametrize("file", [plain_wav(3), HANDS.path])
async def test_decoder_refuses_audio_longer_than_the_limit(file):
    """Also a WAV that needs no decoder."""
    decoder, read = AudioDecoder(DecodingLimits(longest_s=2.0)), 0

    with pytest.raises(ClientError, match="longer than") as refused:
        async with aclosing(decoder.decode(file)) as chunks:
            async for chunk in chunks:
                read = chunk.end

    assert refused.value.code == ClientFault.BAD_AUDIO
    assert read <= 2 * 16_000
    assert decoder.queue.pending == 0


async def test_decoder_yields_chunks_of_at_most_a_second():
    """So that whoever scores them does not hold the event loop."""
    async with aclosing(AudioDecoder().decode(plain_wav(10))) as chunks:
        samples = [chunk.samples async for chunk in chunks]

    assert samples == [16_000] * 10


async def test_decoders_at_once_are_bounded_and_leave_other_threads_alone():
    """One decodes, one waits, one more is refused; a closed decoder gives its slot to the next."""
    decoder = AudioDecoder(queue=AdmissionQueue("decoder", SystemClock(), 1, 1))
    second_began = anyio.Event()

    async def second() -> None:
        async with aclosing(decoder.decode(plain_wav(1))) as chunks:
            await anext(chunks)
            second_began.set()

    async with anyio.create_task_group() as tasks:
        async with aclosing(decoder.decode(plain_wav(1))) as first:
            await anext(first)
            tasks.start_soon(second)
            await anyio.wait_all_tasks_blocked()

            with pytest.raises(ProviderBusy) as refused:
                await anext(decoder.decode(plain_wav(1)))

            assert refused.value.retry_after_s >= 1
            assert not second_began.is_set()
            assert to_thread.current_default_thread_limiter().borrowed_tokens == 0
        with anyio.fail_after(5):
            await second_began.wait()

    assert decoder.queue.pending == 0
