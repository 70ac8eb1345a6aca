"""Contract of every SpeechSynthesizer (TTS)."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from itertools import pairwise

import anyio
import numpy as np
import pytest
from anyio import to_thread

from app.domain.audio import SAMPLE_RATE, AudioChunk, ms
from app.domain.errors import RequestRefused
from app.domain.ports import SpeechSynthesizer
from tests.contracts.synthesizer_cases import NEEDS_MODELS, SYNTHESIZER_CASES
from tests.models import model

pytestmark = pytest.mark.anyio

FOX = "The quick brown fox jumps over the lazy dog."
HARBOUR = "Seven white ships are waiting in the harbour this morning."


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.models] * (name in NEEDS_MODELS)) for name in sorted(SYNTHESIZER_CASES)
    ],
)
async def engine(request, anyio_backend):
    async with SYNTHESIZER_CASES[request.param]() as opened:
        yield opened


@pytest.fixture(scope="session")
def whisper():
    whisper = pytest.importorskip("faster_whisper")
    folder = model("whisper-tiny.en")
    return whisper.WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


async def pieces(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def speak(engine: SpeechSynthesizer, *texts: str) -> list[AudioChunk]:
    async with aclosing(engine.synthesize(pieces(*texts))) as chunks:
        return [chunk async for chunk in chunks]


def sound_of(chunks: list[AudioChunk]) -> np.ndarray:
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2")


def recognized(whisper, chunks: list[AudioChunk]) -> list[str]:
    """The words that a speech recognizer finds."""
    sound = sound_of(chunks).astype(np.float32) / 32768
    segments, _ = whisper.transcribe(sound, language="en", beam_size=1, temperature=0.0)
    return words(" ".join(segment.text for segment in segments))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower().replace("harbour", "harbor"))


def error_rate(found: list[str], meant: list[str]) -> float:
    """Word error rate: the fewest changes between the two, over the words meant."""
    row = list(range(len(found) + 1))
    for i, wanted in enumerate(meant, 1):
        diagonal, row[0] = row[0], i
        for j, got in enumerate(found, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (wanted != got))
    return row[-1] / len(meant)


async def test_piece_is_taken_when_the_audio_before_it_is_out(engine):
    """So whoever gives the pieces knows what is being spoken, and an interrupted reply takes no more of them."""
    samples, taken_at = 0, []

    async def observed() -> AsyncIterator[str]:
        for text in ("Yes.", HARBOUR):
            taken_at.append(samples)
            yield text

    async with aclosing(engine.synthesize(observed())) as chunks:
        async for chunk in chunks:
            samples = chunk.end

    assert taken_at[0] == 0
    assert 0 < taken_at[1] < samples / 2


async def test_synthesized_audio_is_recognised_as_the_text(engine, whisper):
    """A speech recognizer finds in the audio the words of the text."""
    chunks = await speak(engine, FOX)

    assert error_rate(await to_thread.run_sync(recognized, whisper, chunks), words(FOX)) <= 0.3


async def test_text_chunks_are_synthesized_in_order(engine, whisper):
    """Pieces are spoken one after the other, with none left out."""
    chunks = await speak(engine, FOX, HARBOUR)

    assert error_rate(await to_thread.run_sync(recognized, whisper, chunks), words(FOX + " " + HARBOUR)) <= 0.3


async def test_audio_positions_are_continuous_from_zero(engine):
    """Chunks follow one another without a gap, across pieces, from zero on."""
    chunks = await speak(engine, "One.", "Two.", "Three.")

    assert chunks[0].start == 0
    assert all(later.start == earlier.end for earlier, later in pairwise(chunks))


async def test_audio_chunks_are_short_and_at_speech_level(engine):
    """A chunk lasts a tenth of a second at most, and the sound is speech, not silence or noise at full scale."""
    chunks = await speak(engine, FOX)
    sound = sound_of(chunks).astype(float)

    assert all(0 < chunk.samples <= ms(100) for chunk in chunks)
    assert 1.5 < len(sound) / SAMPLE_RATE < 6
    assert 300 < np.sqrt(np.mean(sound**2)) < 12_000


async def test_synthesis_starts_before_the_text_is_complete(engine):
    """Sound of the first piece comes while the second is still being written."""
    send, receive = anyio.create_memory_object_stream[str](1)
    with send, receive:
        send.send_nowait("Of course,")
        with anyio.fail_after(10):
            async with aclosing(engine.synthesize(receive)) as chunks:
                first = await anext(chunks)

    assert first.samples > 0


@pytest.mark.parametrize("texts", [(), ("",), (" ", "\n"), ("...",)])
async def test_synthesis_of_empty_text_is_no_error(engine, texts):
    """Without words there is hardly any sound, and no failure."""
    assert sum(chunk.samples for chunk in await speak(engine, *texts)) < SAMPLE_RATE


async def test_concurrent_syntheses_do_not_mix(engine, whisper):
    """Two replies spoken at once each keep their own words and their own positions."""
    spoken: dict[str, list[AudioChunk]] = {}

    async def say(text: str) -> None:
        spoken[text] = await speak(engine, text)

    async with anyio.create_task_group() as tasks:
        for text in (FOX, HARBOUR):
            tasks.start_soon(say, text)

    for text, chunks in spoken.items():
        assert chunks[0].start == 0
        assert error_rate(await to_thread.run_sync(recognized, whisper, chunks), words(text)) <= 0.3


async def test_cancelled_synthesis_frees_the_engine(engine):
    """Closed after its first chunk, or cancelled before it, a reply does not stand in the way of the next."""
    async with aclosing(engine.synthesize(pieces(FOX * 5))) as chunks:
        await anext(chunks)
    with anyio.move_on_after(0.02):
        await speak(engine, FOX * 5)

    with anyio.fail_after(5):
        assert await speak(engine, "Yes.")


async def test_unknown_voice_is_refused(engine):
    """A voice the engine does not have is no reason to speak with another."""
    ask = partial(engine.synthesize, pieces("Hello."), voice="nobody")

    with pytest.raises(RequestRefused):
        async with aclosing(ask()) as chunks:
            await anext(chunks)
