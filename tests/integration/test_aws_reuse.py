"""A session keeps its stream while that pays, and what it costs is what the service counts."""

from collections.abc import AsyncIterator

import anyio
import pytest

from app.domain.audio import AudioChunk, ms
from providers.aws.lifetime import StreamLimits
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import Script, Stall, TcpReset
from tests.emulators.utterances import SILENCE, utterance
from tests.integration.hearing import eventually, final, hear

pytest_plugins = ["tests.integration.aws_fixtures"]
pytestmark = pytest.mark.anyio


async def test_utterances_of_a_session_share_a_stream(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """Each final has the words of its own utterance, with times of its own."""
    async with engine.session() as session:
        heard = [(await hear(session, utterance(500)))[-1] for _ in range(3)]

    assert [hypothesis.text for hypothesis in heard] == ["turn the", "light on", "please turn"]
    assert [[(word.start, word.end) for word in hypothesis.words] for hypothesis in heard] == [
        [(0, ms(250)), (ms(250), ms(500))]
    ] * 3
    assert len(emulator.streams) == 1


async def test_a_session_costs_what_the_service_counts(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """The minimum of each stream is included, and so is the silence between the utterances."""
    async with engine.session() as session:
        for _ in range(6):
            await final(session, utterance(4_000))
        while_open = session.billed_seconds
        await final(session, utterance(500, sample=SILENCE))  # which ends the stream
        await final(session, utterance(500))

    assert while_open >= 24
    assert len(emulator.streams) == 2
    assert session.billed_seconds == emulator.billed_seconds
    assert [stream.billed_seconds for stream in emulator.streams][1] == 15


async def test_a_session_says_how_far_its_stream_is(engine: TranscribeEngine) -> None:
    """That prices the next utterance; another language needs another stream, and an unknown one has none."""
    async with engine.session() as session:
        assert session.carried_seconds("en") == 0
        await final(session, utterance(4_000))
        assert 4 <= session.carried_seconds("en") < 6
        assert [session.carried_seconds(language) for language in ("de", "xx")] == [0, 0]


async def test_a_pause_is_survived_on_a_little_silence(account: None, emulator: TranscribeEmulator) -> None:
    """The service closes a stream that hears nothing; ours hears just enough."""
    emulator.script = Script(silence_limit_s=0.4)
    limits = StreamLimits(keepalive_every_s=0.1, keepalive_ms=20)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine,
        engine.session() as session,
    ):
        await final(session, utterance(500))
        await anyio.sleep(1.2)
        assert await final(session, utterance(500)) == "light on"

    assert len(emulator.streams) == 1
    assert session.billed_seconds == emulator.billed_seconds == 15


async def test_a_stream_that_ran_into_its_idle_limit_is_replaced(account: None, emulator: TranscribeEmulator) -> None:
    """Nobody notices but the bill."""
    emulator.script = Script(silence_limit_s=0.2)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine,
        engine.session() as session,
    ):
        assert await final(session, utterance(500)) == "turn the"
        await anyio.sleep(0.5)
        assert await final(session, utterance(500)) == "turn the"

    assert len(emulator.streams) == 2
    assert session.billed_seconds == emulator.billed_seconds == 30


async def test_a_stream_lost_in_a_pause_is_replaced(account: None, emulator: TranscribeEmulator) -> None:
    """The silence in the pause meets a reset, and the next utterance begins on a new stream and raises nothing."""
    emulator.script = Script(fault=TcpReset(600))
    limits = StreamLimits(keepalive_every_s=0.05, keepalive_ms=100)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine,
        engine.session() as session,
    ):
        assert await final(session, utterance(500)) == "turn the"
        emulator.script = Script()
        await anyio.sleep(0.3)
        assert await final(session, utterance(500)) == "turn the"

    assert len(emulator.streams) == 2


async def test_a_stream_that_costs_more_than_reopening_is_closed(account: None, emulator: TranscribeEmulator) -> None:
    """Fifteen seconds of silence buy a new stream."""
    limits = StreamLimits(keepalive_every_s=0.02, keepalive_ms=1000)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine,
        engine.session() as session,
    ):
        await final(session, utterance(500))
        await eventually(lambda: not emulator.streams[0].is_open, within_s=5)

        assert (await final(session, utterance(500))).startswith("turn the")
    assert [stream.was_ended for stream in emulator.streams] == [True, True]
    assert 29 <= emulator.streams[0].billed_seconds <= 31
    assert session.billed_seconds == emulator.billed_seconds


async def test_a_stream_near_the_services_limit_is_renewed(account: None, emulator: TranscribeEmulator) -> None:
    """No utterance begins on a stream that is about to be cut off."""
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=StreamLimits(max_age_s=0.3)) as engine,
        engine.session() as session,
    ):
        await final(session, utterance(500))
        await anyio.sleep(0.4)
        await final(session, utterance(500))

    assert [stream.was_ended for stream in emulator.streams] == [True, True]


async def test_another_language_gets_another_stream(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """A stream has one language for life."""
    async with engine.session() as session:
        await hear(session, utterance(500), language="en")
        await hear(session, utterance(500), language="de")

    assert [stream.option["language-code"] for stream in emulator.streams] == ["en-US", "de-DE"]


async def test_a_resting_stream_makes_room_for_one_that_is_needed(account: None, emulator: TranscribeEmulator) -> None:
    """The account's quota goes to those who speak."""
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, max_streams=1) as engine,
        engine.session() as one,
        engine.session() as other,
    ):
        await final(one, utterance(500))
        assert await final(other, utterance(500)) == "turn the"
        assert await final(one, utterance(500)) == "turn the"

    assert len(emulator.streams) == 3


async def test_an_abandoned_utterance_leaves_no_word_in_the_next_one(
    engine: TranscribeEngine, emulator: TranscribeEmulator
) -> None:
    """The stream is kept and its words are told apart by their time."""
    async with engine.session() as session:
        abandoned = session.transcribe(utterance(1_000, every_s=0.05))
        await anext(abandoned)
        await abandoned.aclose()
        heard = await hear(session, utterance(500))

    assert len(emulator.streams) == 1
    assert len(heard[-1].words) == 2
    assert heard[-1].words[0].start == 0


async def test_an_utterance_that_stops_in_the_middle_is_kept_alive(account: None, emulator: TranscribeEmulator) -> None:
    """A phone in a tunnel comes out again."""
    emulator.script = Script(silence_limit_s=0.4)

    async def in_a_tunnel() -> AsyncIterator[AudioChunk]:
        async for chunk in utterance(500):
            yield chunk
        await anyio.sleep(1)
        async for chunk in utterance(500):
            yield chunk

    limits = StreamLimits(keepalive_every_s=0.1, keepalive_ms=20)
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, limits=limits) as engine:
        assert await final(engine, in_a_tunnel()) == "turn the light on"


async def test_a_long_replay_is_taken_as_fast_as_the_network_takes_it(
    engine: TranscribeEngine, emulator: TranscribeEmulator
) -> None:
    """Forty seconds at once, as after a failover, lose nothing."""
    text = await final(engine, utterance(40_000))

    assert len(text.split()) == 160
    assert len(emulator.streams[0].pcm) >= 40 * 32_000


async def test_a_stream_that_owes_an_answer_is_not_trusted_again(
    engine: TranscribeEngine, emulator: TranscribeEmulator
) -> None:
    """Whoever gave up on a mute stream, a hedge for one, does not meet it in the next utterance."""
    emulator.script = Script(fault=Stall(300))
    async with engine.session() as session:
        with anyio.move_on_after(0.5):
            await hear(session, utterance(500))
        emulator.script = Script()
        with anyio.fail_after(0.6):
            assert await final(session, utterance(500)) == "turn the"

    assert len(emulator.streams) == 2
