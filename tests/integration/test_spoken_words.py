"""Words with times, and the language of each utterance, with real models."""

from contextlib import aclosing

import pytest

from app.domain.audio import SAMPLE_RATE, AudioChunk
from providers.local.asr.engine import open_speech_engine
from tests.clips import COUNTRY, HANDS, HOUR, Clip, word_error_rate
from tests.models import model

pytestmark = [pytest.mark.anyio, pytest.mark.models]

GERMAN = Clip("espeak-german", "Guten Morgen. Ich möchte heute einen Termin für nächste Woche vereinbaren.")
SPANISH = Clip("espeak-spanish", "Buenos días, me gustaría reservar una mesa para dos personas mañana por la noche.")


@pytest.fixture(scope="module", params=["whisper-base", "moonshine-base-en"])
async def engine(request):
    async with open_speech_engine(model=model(request.param), device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
async def multilingual():
    async with open_speech_engine(model=model("whisper-base"), device="cpu") as opened:
        yield opened


async def said(session, pcm: bytes, at: int = 0, language: str | None = "en"):
    async def utterance():
        yield AudioChunk(pcm, at)

    async with aclosing(session.transcribe(utterance(), language=language)) as hypotheses:
        return [each async for each in hypotheses][-1]


@pytest.mark.parametrize("clip", [COUNTRY, HANDS, HOUR], ids=lambda clip: clip.name)
async def test_the_words_of_a_final_are_its_text_in_order(engine, clip):
    """Each begins where the one before it has ended or later, within the audio, with a probability."""
    final = await said(engine.for_session(), clip.pcm)

    assert " ".join(word.text for word in final.words) == final.text
    starts = [word.start for word in final.words]
    assert starts == sorted(starts)
    assert all(0 <= word.start <= word.end <= len(clip.pcm) // 2 + SAMPLE_RATE // 2 for word in final.words)
    assert all(0 < word.probability <= 1 for word in final.words)
    assert final.words[-1].end > 0.7 * len(clip.pcm) / 2


async def test_words_behind_left_context_are_timed_in_their_own_utterance(engine):
    """Both halves of a sentence are decoded together; the words of the second one begin at its own beginning."""
    session, half = engine.for_session(), len(HOUR.pcm) // 4 * 2

    await said(session, HOUR.pcm[:half])
    second = await said(session, HOUR.pcm[half:], at=half // 2)

    assert [word.text for word in second.words] == second.text.split()
    assert second.words[0].start < SAMPLE_RATE
    assert second.words[-1].end <= (len(HOUR.pcm) - half) // 2 + SAMPLE_RATE // 2


async def test_the_language_of_each_utterance_is_detected_among_those_allowed(multilingual):
    """A person changes the language, and back."""
    session, at, languages, texts = multilingual.for_session(), 0, [], []
    for clip in (COUNTRY, GERMAN, GERMAN, COUNTRY):
        final = await said(session, clip.pcm, at, "de,en")
        at += len(clip.pcm) // 2 + SAMPLE_RATE
        languages.append(final.language)
        texts.append(final.text)

    assert (languages[0], languages[2], languages[3]) == ("en", "de", "en")
    assert all(texts)
    assert word_error_rate(COUNTRY.words, texts[3]) <= 0.1


async def test_a_short_utterance_keeps_the_language_of_the_session(multilingual):
    """Half a second of English in a German session is not taken for English, or for Welsh."""
    session = multilingual.for_session()
    await said(session, GERMAN.pcm, language=None)

    short = await said(session, HANDS.pcm[: 2 * SAMPLE_RATE], at=20 * SAMPLE_RATE, language=None)

    assert session.spoken_language == short.language == "de"


@pytest.mark.parametrize(("clip", "language"), [(GERMAN, "de"), (SPANISH, "es"), (COUNTRY, "en")])
async def test_every_language_is_detected_where_none_is_named(multilingual, clip, language):
    final = await said(multilingual.for_session(), clip.pcm, language=None)

    assert final.language == language


async def test_drafts_are_in_the_language_of_the_utterance(multilingual):
    """The draft behind stable words keeps it."""
    session = multilingual.for_session()

    first = await session.draft(SPANISH.pcm[: 3 * 2 * SAMPLE_RATE], language="es,en")
    behind = await session.draft(SPANISH.pcm[: 4 * 2 * SAMPLE_RATE], stable="Buenos días,", language="es,en")

    assert (first.language, behind.language) == ("es", "es")
    assert behind.text.startswith("Buenos días,")
