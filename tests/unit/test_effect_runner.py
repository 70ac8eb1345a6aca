"""Effects are carried out: replies are cancelled at any moment, and timers fire when they are due."""

from contextlib import asynccontextmanager

import anyio
import pytest

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.runtime.dialog.effect_runner import EffectRunner
from app.runtime.dialog.engines import Engines
from tests.fakes import EagerClock, ScriptedDetector, ScriptedGenerator, ScriptedTranscriber, SingleRouteFinals
from tests.unit.playing import LOCAL

pytestmark = pytest.mark.anyio
HELLO = (Message(Role.USER, "Hello."),)


@asynccontextmanager
async def opened(generator=None, *, clock=None, deadline_ms=15_000.0):
    """A runner, and the events that come back."""
    inbox, events = anyio.create_memory_object_stream[ev.Event](100)
    finals = SingleRouteFinals(LOCAL, ScriptedTranscriber(), deadline_ms=deadline_ms)
    engines = Engines(ScriptedDetector(), finals, generator=generator)
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
