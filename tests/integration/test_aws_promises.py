"""Transcribe keeps every promise of a Transcriber."""

import gc
from collections.abc import AsyncIterator
from contextlib import aclosing

import anyio
import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.errors import RequestRefused
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import Script
from tests.emulators.utterances import SILENCE, utterance
from tests.integration.transcripts import eventually, final_text, hypotheses_of

pytestmark = pytest.mark.anyio


async def test_interims_grow_and_one_final_comes_last(engine: TranscribeEngine) -> None:
    """Every hypothesis but the last is an interim."""
    hypotheses = await hypotheses_of(engine, utterance(1250, every_s=0.02))

    assert [hypothesis.is_final for hypothesis in hypotheses] == [False] * (len(hypotheses) - 1) + [True]
    assert hypotheses[0].text == "turn"
    assert hypotheses[-1].text == "turn the light on please"


async def test_words_carry_their_place_and_their_probability(engine: TranscribeEngine) -> None:
    """Times are samples from the utterance's first one."""
    hypotheses = await hypotheses_of(engine, utterance(500))

    assert [(word.text, word.start, word.end) for word in hypotheses[-1].words] == [
        ("turn", ms(0), ms(250)),
        ("the", ms(250), ms(500)),
    ]
    assert hypotheses[-1].confidence == pytest.approx(0.97)
    assert hypotheses[-1].language == "en"


async def test_silence_gives_an_empty_final(engine: TranscribeEngine) -> None:
    """Silence is answered in time."""
    with anyio.fail_after(10):
        hypotheses = await hypotheses_of(engine, utterance(500, sample=SILENCE))

    assert [(hypothesis.text, hypothesis.is_final) for hypothesis in hypotheses] == [("", True)]


async def test_no_audio_at_all_gives_an_empty_final(engine: TranscribeEngine) -> None:
    """An utterance may end before it began."""
    assert await final_text(engine, utterance(0)) == ""


@pytest.mark.parametrize("chunk_ms", [1, 20, 333, 2500])
async def test_chunks_may_have_any_size(engine: TranscribeEngine, emulator: TranscribeEmulator, chunk_ms: int) -> None:
    """They are packed for the service, which likes neither crumbs nor more than 32 KB."""
    assert await final_text(engine, utterance(2500, chunk_ms=chunk_ms)) == " ".join(["turn the light on please"] * 2)
    assert emulator.streams[0].events <= 60


async def test_concurrent_utterances_do_not_mix(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """Each has a stream of its own, in one session as well as in two."""
    finals: list[str] = []

    async def speak(length_ms: int) -> None:
        finals.append(await final_text(session, utterance(length_ms, every_s=0.02)))

    async with engine.session() as session, anyio.create_task_group() as people:
        people.start_soon(speak, 500)
        people.start_soon(speak, 1000)

    assert sorted(finals) == ["turn the", "turn the light on"]
    assert len(emulator.streams) == 2


async def test_a_cancelled_utterance_closes_its_stream(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """The utterance is let go of and the stream is closed on the service's side too."""
    is_released = False

    async def endless() -> AsyncIterator[AudioChunk]:
        nonlocal is_released
        try:
            async for chunk in utterance(60_000, every_s=0.02):
                yield chunk
        finally:
            is_released = True

    speech = endless()
    async with aclosing(engine.transcribe(speech)) as hypotheses:
        await anext(hypotheses)
    await speech.aclose()

    assert is_released
    await eventually(lambda: not emulator.streams[0].is_open, within_s=2)
    gc.collect()


async def test_a_language_is_honoured(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """Two letters become the locale that the service knows."""
    hypotheses = await hypotheses_of(engine, utterance(500), language="de")

    assert emulator.streams[0].option["language-code"] == "de-DE"
    assert hypotheses[-1].language == "de"


async def test_an_unknown_language_is_request_refused(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(RequestRefused):
        await hypotheses_of(engine, utterance(500), language="xx")
    assert emulator.streams == []


async def test_an_error_of_the_audio_source_is_raised_by_transcribe(engine: TranscribeEngine) -> None:
    """Whoever waits for the words learns that the audio broke."""

    async def broken() -> AsyncIterator[AudioChunk]:
        async for chunk in utterance(300):
            yield chunk
        raise LookupError("the microphone is gone")

    with pytest.raises(LookupError, match="microphone"):
        await hypotheses_of(engine, broken())


async def test_an_error_of_the_caller_is_not_wrapped_in_a_group(engine: TranscribeEngine) -> None:
    """The engine's own tasks do not wrap it into a group."""
    with pytest.raises(LookupError):
        async with engine.session():
            raise LookupError


@pytest.mark.parametrize("reports_listening", [True, False])
@pytest.mark.parametrize("stable_after_ms", [0, 300])
async def test_the_last_word_is_never_left_out(
    engine: TranscribeEngine, emulator: TranscribeEmulator, stable_after_ms: int, reports_listening: bool
) -> None:
    """The final waits for the words behind the newest result, whichever way the service reports its progress."""
    emulator.script = Script(stable_after_ms=stable_after_ms, reports_listening=reports_listening)

    async with engine.session() as session:
        finals = [await final_text(session, utterance(1250, every_s=0.005)) for _ in range(4)]

    assert [text.replace(".", "") for text in finals] == ["turn the light on please"] * 4
    assert len(emulator.streams) == 1


async def test_the_final_does_not_wait_for_the_services_own_segment(
    engine: TranscribeEngine, emulator: TranscribeEmulator
) -> None:
    """Stable words are final words; the service's own final would have come with its pause."""
    emulator.script = Script(segment_silence_ms=60_000)

    async with engine.session() as session:
        text = await final_text(session, utterance(1250))

        assert not emulator.streams[0].was_ended

    assert text == "turn the light on please"


async def test_segments_are_joined_into_one_final(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """The service's segments are not utterances."""
    emulator.script = Script(segment_words=2)

    assert await final_text(engine, utterance(1250)) == "turn the. light on. please"


async def test_options_travel_with_the_request(account: None, emulator: TranscribeEmulator) -> None:
    """Vocabulary and high stability are asked for."""
    async with open_transcribe(region="eu-west-1", endpoint_url=emulator.url, vocabulary="ships") as engine:
        await final_text(engine, utterance(500))

    option = emulator.streams[0].option
    assert option["vocabulary-name"] == "ships"
    assert option["enable-partial-results-stabilization"].lower() == "true"
    assert option["partial-results-stability"] == "high"
    assert "/eu-west-1/transcribe/" in emulator.streams[0].headers["authorization"]
