"""The benchmark of the time to silence, against a client's events."""

import anyio
import pytest
from parley_client import ReplyAudio, ReplyDucked, ReplyPaused

from bench.silence import STOPS, next_of

pytestmark = pytest.mark.anyio


class Events:
    """A session's events, one after the other; then none."""

    def __init__(self, *events):
        self.events = list(events)

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.events:
            raise StopAsyncIteration
        await anyio.lowlevel.checkpoint()
        return self.events.pop(0)


async def test_only_an_order_to_stop_ends_the_measurement():
    """A reply that is made quieter, or whose sound comes, plays on."""
    session = Events(ReplyAudio(1, 16_000, b""), ReplyDucked(1), ReplyPaused(1), ReplyAudio(1, 16_000, b""))
    began = anyio.current_time()

    assert await next_of(session, STOPS) >= began
    assert session.events == [ReplyAudio(1, 16_000, b"")]


async def test_a_session_that_ends_without_it_is_a_failure():
    with pytest.raises(TimeoutError):
        await next_of(Events(ReplyDucked(1)), STOPS)
