"""A session in virtual time: the clock is the audio's, however long engines take."""

from collections.abc import AsyncGenerator, AsyncIterable

import anyio
import pytest

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis
from app.runtime.dialog.engines import Engines
from bench.virtual_session import Activity, Shown, play
from providers.local.vad.silero import SileroDetector, load_network
from tests.clips import COUNTRY, silence
from tests.fakes import EagerClock, MemorySessionLog, SingleRouteFinals

pytestmark = pytest.mark.anyio


class SlowEngine:
    """A Transcriber and DraftTranscriber that takes `seconds` for every answer."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        samples = sum([chunk.samples async for chunk in utterance])
        await anyio.sleep(self.seconds)
        yield Hypothesis(f"{samples} samples.", is_final=True)

    async def draft(self, pcm: bytes, *, stable: str = "", language: str | None = None) -> Hypothesis | None:
        await anyio.sleep(self.seconds)
        return Hypothesis(f"{len(pcm) // 2} samples")


async def session(seconds: float) -> list[Shown]:
    """What is shown of a recording by an engine that takes so long."""
    engine = SlowEngine(seconds)
    engines = Engines(
        detector=SileroDetector(load_network()),
        finals=SingleRouteFinals(Route("local", Place.ON_PREM), engine),
        drafter=engine,
    )
    state = DialogState(TurnRules(reply=False, language="en"))
    return await play(COUNTRY.pcm + silence(1.5), engines, state, MemorySessionLog())


async def test_a_slow_engine_shows_the_same_at_the_same_time_as_a_fast_one() -> None:
    fast, slow = await session(0.0), await session(0.02)

    finals = [each for each in fast if isinstance(each.effect, do.ShowFinal)]
    assert len(finals) >= 1
    assert sum(isinstance(each.effect, do.ShowDraft) for each in fast) > 3
    assert slow == fast


async def test_settled_waits_for_a_call_that_another_one_causes() -> None:
    activity, order = Activity(), list[str]()

    async def second() -> None:
        await activity.during(anyio.sleep(0.01))
        order.append("second")

    async with anyio.create_task_group() as tasks:

        async def first() -> None:
            await activity.during(anyio.sleep(0.01))
            tasks.start_soon(second)

        tasks.start_soon(first)
        await activity.settled()
        order.append("settled")

    assert order == ["second", "settled"]


async def test_a_sleeper_wakes_when_the_clock_is_moved_far_enough() -> None:
    clock, woken = EagerClock(), anyio.Event()

    async def sleeper() -> None:
        await clock.sleep_until(1.0)
        woken.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper)
        await anyio.wait_all_tasks_blocked()
        clock.advance(0.5)
        await anyio.wait_all_tasks_blocked()
        assert not woken.is_set()
        clock.advance(0.5)
        with anyio.fail_after(1):
            await woken.wait()
