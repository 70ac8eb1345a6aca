"""Effects are carried out: replies are cancelled at any moment, and timers fire when they are due."""

from contextlib import asynccontextmanager

import anyio
import pytest

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ProviderBusy
from app.domain.transcript import Hypothesis
from app.runtime.dialog.effect_runner import EffectRunner
from app.runtime.dialog.engines import Engines
from tests.fakes import (
    EagerClock,
    ScriptedDetector,
    ScriptedEmbedder,
    ScriptedGenerator,
    ScriptedTranscriber,
    SingleRouteFinals,
)
from tests.unit.playing import LOCAL

pytestmark = pytest.mark.anyio
HELLO = (Message(Role.USER, "Hello."),)


@asynccontextmanager
async def opened(generator=None, *, clock=None, deadline_ms=15_000.0, embedder=None):
    """A runner, and the events that come back."""
    inbox, events = anyio.create_memory_object_stream[ev.Event](100)
    finals = SingleRouteFinals(LOCAL, ScriptedTranscriber(), deadline_ms=deadline_ms)
    engines = Engines(ScriptedDetector(), finals, generator=generator, embedder=embedder)
    async with inbox, events, anyio.create_task_group() as tasks:
        yield EffectRunner(engines, tasks, inbox, clock or EagerClock()), events
        tasks.cancel_scope.cancel()


async def test_a_reply_cancelled_before_its_task_ran_is_cancelled():
    """Start and cancel may come in one step; nothing is generated, and nothing fails."""
    generator = ScriptedGenerator()
    async with opened(generator) as (runner, events):
        runner.perform(do.StartReply(1, HELLO, speak=False))
        runner.perform(do.ReleaseReply(1))
        runner.perform(do.CancelReply(1))
        await anyio.wait_all_tasks_blocked()

        assert events.statistics().current_buffer_used == 0
        assert runner.replies == {}


async def test_pending_finals_are_awaited_longer_than_the_deadline_of_the_routes():
    """At the deadline the routes give up by themselves; the leave timer is behind it, whatever the rules say."""
    clock = EagerClock()
    async with opened(clock=clock, deadline_ms=60_000.0) as (runner, events):
        runner.perform(do.StartLeaveTimer(grace_ms=2000))
        await anyio.wait_all_tasks_blocked()
        clock.advance(61.0)
        await anyio.wait_all_tasks_blocked()
        assert events.statistics().current_buffer_used == 0

        clock.advance(1.0)

        assert await events.receive() == ev.LeaveTimeoutDue()


def speak(runner, number=1, samples=480):
    runner.perform(do.OpenUtterance(number, 0, "en"))
    runner.perform(do.FeedUtterance(number, AudioChunk(b"\1\0" * samples, 0)))


async def voices(events):
    await anyio.wait_all_tasks_blocked()
    waiting = [events.receive_nowait() for _ in range(events.statistics().current_buffer_used)]
    return [event for event in waiting if isinstance(event, ev.SpeakerEmbedded)]


async def test_the_voice_of_a_final_is_embedded_with_it():
    """Of the same audio, once for each revision."""
    embedder = ScriptedEmbedder([(1.0, 0.0)])
    async with opened(embedder=embedder) as (runner, events):
        speak(runner)
        runner.perform(do.StartFinal(1, 0))
        runner.perform(do.StartFinal(1, 0))
        runner.perform(do.CloseUtterance(1, 0))

        assert await voices(events) == [ev.SpeakerEmbedded(1, 0, (1.0, 0.0))]
        assert embedder.embedded == [b"\1\0" * 480]


async def test_the_voice_of_a_pause_is_dropped_where_speech_goes_on():
    """The next pause is embedded anew, with all its audio."""
    embedder = ScriptedEmbedder(go=anyio.Event())
    async with opened(embedder=embedder) as (runner, events):
        speak(runner)
        runner.perform(do.StartFinal(1, 0))
        await anyio.wait_all_tasks_blocked()
        runner.perform(do.DropFinal(1, 0))
        runner.perform(do.FeedUtterance(1, AudioChunk(b"\1\0" * 480, 480)))
        runner.perform(do.StartFinal(1, 1))
        await anyio.wait_all_tasks_blocked()
        embedder.go.set()

        assert [(event.utterance, event.revision) for event in await voices(events)] == [(1, 1)]
        assert [len(pcm) for pcm in embedder.embedded] == [960, 1920]


async def test_a_voice_comes_after_its_final_was_shown():
    """The final does not end it."""
    embedder = ScriptedEmbedder(go=anyio.Event())
    async with opened(embedder=embedder) as (runner, events):
        speak(runner)
        runner.perform(do.StartFinal(1, 0))
        runner.perform(do.CloseUtterance(1, 0))
        await anyio.wait_all_tasks_blocked()
        runner.perform(do.ShowFinal(1, 1, Hypothesis("hello", is_final=True), 0, 480, 480))
        embedder.go.set()

        assert [event.utterance for event in await voices(events)] == [1]


async def test_an_embedder_that_fails_costs_the_label_alone():
    """The final is there."""
    async with opened(embedder=ScriptedEmbedder(error=ProviderBusy("local", "is full"))) as (runner, events):
        speak(runner)
        runner.perform(do.StartFinal(1, 0))
        runner.perform(do.CloseUtterance(1, 0))
        await anyio.wait_all_tasks_blocked()

        assert [type(event) for event in [events.receive_nowait()]] == [ev.FinalReceived]
        assert events.statistics().current_buffer_used == 0
