"""A live route fails in mid-utterance: the session continues, and the utterance is sent as a whole."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass, field

import anyio
import pytest

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ProviderBusy, ProviderRefused
from app.domain.residency import Residency
from app.domain.transcript import Hypothesis
from app.runtime.dialog.effect_runner import EffectRunner
from app.runtime.dialog.engines import Engines
from app.runtime.routing.session_finals import SessionFinals
from tests.fakes import EagerClock, ScriptedDetector, SingleRouteFinals
from tests.routes import AWS, scripted_routes
from tests.unit.playing import LOCAL

pytestmark = pytest.mark.anyio
CHUNK = AudioChunk(b"\1\0" * 480, 0)


@dataclass
class RefusesLiveAudio:
    """Breaks off at the third chunk that comes live; transcribes a whole utterance."""

    whole: list[int] = field(default_factory=list)
    """Samples of each utterance that came as a whole."""

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        chunks = 0
        samples = 0
        async for chunk in utterance:
            chunks, samples = chunks + 1, samples + chunk.samples
            if chunks == 3:
                raise ProviderRefused("aws", "the token ran out")
        self.whole.append(samples)
        yield Hypothesis("all of it", is_final=True)


async def test_a_live_route_that_refuses_in_mid_utterance_does_not_end_the_session():
    """The loop goes on feeding; the final started in the next pause has the audio from its first sample."""
    inbox, events = anyio.create_memory_object_stream[ev.Event](10)
    engine = RefusesLiveAudio()
    finals = SingleRouteFinals(LOCAL, engine, live=True)
    async with inbox, events, anyio.create_task_group() as tasks:
        runner = EffectRunner(Engines(ScriptedDetector(), finals), tasks, inbox, EagerClock())
        runner.perform(do.OpenUtterance(1, 0, "en"))
        for _ in range(5):
            runner.perform(do.FeedUtterance(1, CHUNK))
            await anyio.wait_all_tasks_blocked()

        runner.perform(do.StartFinal(1, 0))
        received = await events.receive()

    assert received == ev.FinalReceived(1, 0, Hypothesis("all of it", is_final=True), LOCAL)
    assert engine.whole == [5 * CHUNK.samples]
    assert not finals.live


async def test_a_final_requested_in_a_pause_is_started_when_the_live_route_fails_in_it():
    """The pause has asked for it already, and will not ask again."""
    inbox, events = anyio.create_memory_object_stream[ev.Event](10)
    engine = RefusesLiveAudio()
    async with inbox, events, anyio.create_task_group() as tasks:
        finals = SingleRouteFinals(LOCAL, engine, live=True)
        runner = EffectRunner(Engines(ScriptedDetector(), finals), tasks, inbox, EagerClock())
        runner.perform(do.OpenUtterance(1, 0, "en"))
        for _ in range(2):
            runner.perform(do.FeedUtterance(1, CHUNK))
            await anyio.wait_all_tasks_blocked()

        runner.perform(do.StartFinal(1, 0))
        runner.perform(do.FeedUtterance(1, CHUNK))
        received = await events.receive()

    assert isinstance(received, ev.FinalReceived)
    assert engine.whole == [3 * CHUNK.samples]


async def test_a_live_route_that_failed_is_not_asked_speculatively_where_it_costs_money():
    """Once the utterance is sent as a whole, the rule for paid routes holds."""
    final = SessionFinals(scripted_routes(AWS).routes, "s").open(1, "en", Residency.CLOUD_OK)
    assert final.live

    final.stop_live()

    assert not final.live
    with pytest.raises(ProviderBusy, match="waits for the end of the utterance"):
        await anext(aiter(final.transcribe(SingleChunk(), language="en")))


class SingleChunk:
    """An utterance of one chunk."""

    async def __aiter__(self):
        yield CHUNK
