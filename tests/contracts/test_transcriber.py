"""Contract of every Transcriber: each engine in the registry is tested."""

from contextlib import aclosing

import anyio
import pytest

from app.domain.errors import RequestRefused
from tests.clips import COUNTRY, HANDS, HOUR, silence, word_error_rate
from tests.contracts.test_speech_detector import chunked
from tests.contracts.transcriber_cases import TRANSCRIBER_CASES

pytestmark = [pytest.mark.anyio, pytest.mark.models]


@pytest.fixture(scope="module", params=sorted(TRANSCRIBER_CASES))
async def transcriber(request):
    async with TRANSCRIBER_CASES[request.param]() as opened:
        yield opened


async def transcribed(transcriber, pcm, sizes=(1600,), *, language="en"):
    async with aclosing(transcriber.transcribe(chunked(pcm, sizes), language=language)) as hypotheses:
        return [one async for one in hypotheses]


@pytest.mark.parametrize("clip", [HANDS, HOUR, COUNTRY], ids=lambda clip: clip.name)
async def test_exactly_one_final_comes_last_with_the_right_words(transcriber, clip):
    """However many interim hypotheses there are, one final ends the stream."""
    hypotheses = await transcribed(transcriber, clip.pcm)

    assert [one.is_final for one in hypotheses] == [*[False] * (len(hypotheses) - 1), True]
    assert word_error_rate(clip.words, hypotheses[-1].text) <= 0.2


@pytest.mark.parametrize("sizes", [(1, 7, 1000, 333), (512,), (1_000_000,)])
async def test_final_does_not_depend_on_chunk_sizes(transcriber, sizes):
    """How the audio was cut on its way does not matter."""
    whole = await transcribed(transcriber, HANDS.pcm)

    assert (await transcribed(transcriber, HANDS.pcm, sizes))[-1].text == whole[-1].text


@pytest.mark.parametrize("seconds", [0.0, 0.05, 4.0])
async def test_silence_gives_an_empty_final(transcriber, seconds):
    """No speech, no words, and no hang."""
    (final,) = await transcribed(transcriber, silence(seconds))

    assert final.is_final
    assert final.text == ""


async def test_concurrent_utterances_do_not_mix(transcriber):
    """Each stream gets its own words."""
    texts = {}

    async def transcribe(clip):
        texts[clip] = (await transcribed(transcriber, clip.pcm))[-1].text

    async with anyio.create_task_group() as tasks:
        for clip in (HANDS, HOUR, COUNTRY):
            tasks.start_soon(transcribe, clip)

    assert all(word_error_rate(clip.words, text) <= 0.2 for clip, text in texts.items())


async def test_unknown_language_refuses_the_request(transcriber):
    """A model that cannot speak a language says so instead of guessing."""
    with pytest.raises(RequestRefused):
        await transcribed(transcriber, HANDS.pcm, language="xx")


async def test_cancelled_transcription_frees_the_engine(transcriber):
    """Whoever walks away harms nobody: the next utterance is served as ever."""
    with anyio.move_on_after(0.03):
        await transcribed(transcriber, COUNTRY.pcm)

    final = (await transcribed(transcriber, HANDS.pcm))[-1]

    assert word_error_rate(HANDS.words, final.text) <= 0.2
