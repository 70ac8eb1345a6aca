"""A session keeps its stream while that pays, and what it costs is what the service counts."""

from collections.abc import AsyncIterator

import anyio
import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.ports import bound_to
from providers.aws.finalization import FinalizationTimeouts
from providers.aws.lifetime import StreamLimits
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import Script, Stall, TcpReset
from tests.emulators.utterances import SILENCE, utterance
from tests.integration.transcripts import eventually, final_text, hypotheses_of

pytestmark = pytest.mark.anyio


async def test_utterances_of_a_session_share_a_stream(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """Each final has the words of its own utterance, with times of its own."""
    async with engine.session() as session:
        hypotheses = [(await hypotheses_of(session, utterance(500)))[-1] for _ in range(3)]

    assert [hypothesis.text for hypothesis in hypotheses] == ["turn the", "light on", "please turn"]
    assert [[(word.start, word.end) for word in hypothesis.words] for hypothesis in hypotheses] == [
        [(0, ms(250)), (ms(250), ms(500))]
    ] * 3
    assert len(emulator.streams) == 1


async def test_a_vocabulary_of_the_session_has_streams_of_its_own(account: None, emulator: TranscribeEmulator) -> None:
    """It replaces the route's; utterances with the same one share a stream."""
    async with (
        open_transcribe(region="eu-west-1", endpoint_url=emulator.url, vocabulary="ships") as engine,
        engine.session() as session,
    ):
        await final_text(session, utterance(500))
        for _ in range(2):
            await final_text(bound_to(session, "drugs"), utterance(500))
        await final_text(bound_to(session, None), utterance(500))

    assert [stream.option["vocabulary-name"] for stream in emulator.streams] == ["ships", "drugs", "ships"]


async def test_billed_seconds_equal_the_services_count(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """The minimum of each stream is included, and so is the silence between the utterances."""
    async with engine.session() as session:
        for _ in range(6):
            await final_text(session, utterance(4_000))
        while_open = session.billed_seconds
        await final_text(session, utterance(500, sample=SILENCE))  # which ends the stream
        await final_text(session, utterance(500))

    assert while_open >= 24
    assert len(emulator.streams) == 2
    assert session.billed_seconds == emulator.billed_seconds
    assert [stream.billed_seconds for stream in emulator.streams][1] == 15


async def test_carried_seconds_of_the_reusable_stream(engine: TranscribeEngine) -> None:
    """That prices the next utterance; another language needs another stream, and an unknown one has none."""
    async with engine.session() as session:
        assert session.carried_seconds("en") == 0
        await final_text(session, utterance(4_000))
        assert 4 <= session.carried_seconds("en") < 6
        assert [session.carried_seconds(language) for language in ("de", "xx")] == [0, 0]


async def test_keepalive_holds_a_stream_through_a_pause(account: None, emulator: TranscribeEmulator) -> None:
    """The service closes a stream that receives no audio; keep-alives are just enough."""
    emulator.script = Script(silence_limit_s=1.5)
    limits = StreamLimits(keepalive_every_s=0.05, keepalive_ms=10)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine,
        engine.session() as session,
    ):
        await final_text(session, utterance(500))
        await anyio.sleep(2)  # because the emulator's limit is one of real time
        assert await final_text(session, utterance(500)) == "light on"

    assert len(emulator.streams) == 1
    assert session.billed_seconds == emulator.billed_seconds == 15


async def test_a_stream_closed_by_the_idle_limit_is_replaced(account: None, emulator: TranscribeEmulator) -> None:
    """Only the bill shows it."""
    emulator.script = Script(silence_limit_s=0.5)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine,
        engine.session() as session,
    ):
        assert await final_text(session, utterance(500)) == "turn the"
        await eventually(lambda: session.carried_seconds("en") == 0, within_s=10)
        assert await final_text(session, utterance(500)) == "turn the"

    assert len(emulator.streams) == 2
    assert session.billed_seconds == emulator.billed_seconds == 30


async def test_a_stream_lost_in_a_pause_is_replaced(account: None, emulator: TranscribeEmulator) -> None:
    """The silence in the pause meets a reset, and the next utterance begins on a new stream and raises nothing."""
    emulator.script = Script(fault=TcpReset(2500))
    limits = StreamLimits(keepalive_every_s=0.05, keepalive_ms=100)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine,
        engine.session() as session,
    ):
        assert await final_text(session, utterance(500)) == "turn the"
        emulator.script = Script()
        await eventually(lambda: session.carried_seconds("en") == 0, within_s=60)
        assert await final_text(session, utterance(500)) == "turn the"

    assert len(emulator.streams) == 2


async def test_keepalive_stops_at_the_price_of_reopening(account: None, emulator: TranscribeEmulator) -> None:
    """Fifteen seconds of silence buy a new stream."""
    limits = StreamLimits(keepalive_every_s=0.02, keepalive_ms=1000)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine,
        engine.session() as session,
    ):
        await final_text(session, utterance(500))
        await eventually(lambda: not emulator.streams[0].is_open, within_s=20)

        assert (await final_text(session, utterance(500))).startswith("turn the")
    assert [stream.was_ended for stream in emulator.streams] == [True, True]
    assert 29 <= emulator.streams[0].billed_seconds <= 31
    assert session.billed_seconds == emulator.billed_seconds


async def test_a_stream_near_its_max_age_is_replaced(account: None, emulator: TranscribeEmulator) -> None:
    """No utterance begins on a stream that is about to be cut off."""
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=StreamLimits(max_age_s=0.3)) as engine,
        engine.session() as session,
    ):
        await final_text(session, utterance(500))
        await eventually(lambda: session.carried_seconds("en") == 0, within_s=10)
        await final_text(session, utterance(500))

    assert [stream.was_ended for stream in emulator.streams] == [True, True]


async def test_another_language_gets_another_stream(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """A stream has one language for life."""
    async with engine.session() as session:
        await hypotheses_of(session, utterance(500), language="en")
        await hypotheses_of(session, utterance(500), language="de")

    assert [stream.option["language-code"] for stream in emulator.streams] == ["en-US", "de-DE"]


async def test_an_idle_stream_is_released_when_the_quota_is_full(account: None, emulator: TranscribeEmulator) -> None:
    """The account's quota is for streams with an utterance."""
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, max_streams=1) as engine,
        engine.session() as one,
        engine.session() as other,
    ):
        await final_text(one, utterance(500))
        assert await final_text(other, utterance(500)) == "turn the"
        assert await final_text(one, utterance(500)) == "turn the"

    assert len(emulator.streams) == 3


async def test_a_cancelled_utterance_leaves_no_word_in_the_next_one(
    engine: TranscribeEngine, emulator: TranscribeEmulator
) -> None:
    """The stream is reused, and words belong to the utterance of their time."""
    async with engine.session() as session:
        abandoned = session.transcribe(utterance(1_000, every_s=0.05))
        await anext(abandoned)
        await abandoned.aclose()
        hypotheses = await hypotheses_of(session, utterance(500))

    assert len(emulator.streams) == 1
    assert len(hypotheses[-1].words) == 2
    assert hypotheses[-1].words[0].start == 0


async def test_keepalive_holds_an_utterance_whose_audio_stops(account: None, emulator: TranscribeEmulator) -> None:
    """As on a phone in a tunnel."""
    emulator.script = Script(silence_limit_s=1.5)

    async def in_a_tunnel() -> AsyncIterator[AudioChunk]:
        async for chunk in utterance(500):
            yield chunk
        await anyio.sleep(2)  # because the emulator's limit is one of real time
        async for chunk in utterance(500):
            yield chunk

    limits = StreamLimits(keepalive_every_s=0.05, keepalive_ms=10)
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine:
        assert await final_text(engine, in_a_tunnel()) == "turn the light on"


async def test_a_long_replay_is_limited_by_the_network_alone(
    engine: TranscribeEngine, emulator: TranscribeEmulator
) -> None:
    """Forty seconds at once, as after a failover, lose nothing."""
    text = await final_text(engine, utterance(40_000))

    assert len(text.split()) == 160
    assert len(emulator.streams[0].pcm) >= 40 * 32_000


async def test_a_stream_with_a_pending_result_is_not_reused(account: None, emulator: TranscribeEmulator) -> None:
    """A stream that was given up while it was silent, by a hedge for one, does not carry the next utterance."""
    emulator.script = Script(fault=Stall(300))
    patient = FinalizationTimeouts(flush_after_s=60, final_within_s=120)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, timeouts=patient) as engine,
        engine.session() as session,
    ):
        with anyio.move_on_after(0.5):
            await hypotheses_of(session, utterance(500))
        emulator.script = Script()
        with anyio.fail_after(10):
            assert await final_text(session, utterance(500)) == "turn the"

    assert len(emulator.streams) == 2
