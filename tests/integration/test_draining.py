"""A server that is told to stop: turns end, clients are warned and closed with 1012, within a limited time."""

import signal
from contextlib import asynccontextmanager

import anyio
import pytest
from parley_client.errors import ServerUnreachable

from app.runtime.draining import REST_S, is_between_turns
from app.runtime.session_registry import RunningSession
from app.web.listener import GracefulServer, bound_socket
from app.web.server import create_app
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def stoppable(turn_seconds: float):
    """A server, its address, and an event that is set when it has stopped."""
    with bound_socket("127.0.0.1", 0) as listening:
        server = GracefulServer(create_app(scripted_service()), turn_seconds=turn_seconds, drain_seconds=5)
        stopped = anyio.Event()

        async def serve() -> None:
            await server.serve([listening])
            stopped.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            await server.listening.wait()
            yield server, f"ws://127.0.0.1:{listening.getsockname()[1]}/ws/transcribe", stopped
            server.should_exit = True


def stop(server: GracefulServer) -> None:
    server.handle_exit(signal.SIGTERM, None)


def errors(talk) -> list[tuple[str, bool]]:
    return [(each.message["code"], each.message["fatal"]) for each in talk.messages("error")]


async def test_a_turn_ends_before_its_session_is_closed():
    """The client is warned, finishes what it says, gets its final and the reply, and then 1012."""
    async with stoppable(30) as (server, url, stopped), open_session(url) as talk:
        await speak_on(talk)
        stop(server)
        assert await talk.wait_until(lambda t: errors(t) == [("draining", False)], timeout_s=5)
        await talk.send_audio(SILENCE * 60, pace=0)
        await talk.wait_until(lambda t: t.closed, timeout_s=20)
        with anyio.fail_after(10):
            await stopped.wait()

    kinds = [each.message["type"] for each in talk.received]
    assert kinds.index("fullSentence") < kinds.index("server_response")
    assert errors(talk) == [("draining", False), ("draining", True)]
    assert talk.closed[0] == 1012


async def speak_on(talk) -> None:
    """Begin a turn, and do not end it."""
    await talk.send_audio(SPEECH * 20, pace=0)
    assert await talk.wait_until(lambda t: t.messages("realtime"), timeout_s=5)


async def closed(talk, stopped) -> None:
    """The server has let its sessions go, and the client has seen it."""
    with anyio.fail_after(10):
        await stopped.wait()
    await talk.wait_until(lambda t: t.closed, timeout_s=5)


async def test_nobody_is_let_in_while_turns_end():
    """The port is closed, so that a balancer, or the client, goes elsewhere."""
    async with stoppable(30) as (server, url, _), open_session(url) as talk:
        await speak_on(talk)
        stop(server)
        assert await talk.wait_until(errors, timeout_s=5)

        with pytest.raises(ServerUnreachable):
            async with open_session(url):
                pass
        stop(server)


async def test_a_session_between_turns_is_closed_soon():
    """Nothing is waited for."""
    async with stoppable(60) as (server, url, stopped), open_session(url) as talk:
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
        stop(server)
        await closed(talk, stopped)

    assert talk.closed[0] == 1012


async def test_a_turn_without_end_is_cut_off_at_the_limit():
    """Somebody who speaks on holds nobody up."""
    async with stoppable(1) as (server, url, stopped), open_session(url) as talk:
        await speak_on(talk)
        stop(server)
        await closed(talk, stopped)

    assert talk.closed[0] == 1012


async def test_a_second_signal_closes_sessions_at_once():
    """Whoever stops it twice is in a hurry."""
    async with stoppable(3600) as (server, url, stopped), open_session(url) as talk:
        await speak_on(talk)
        stop(server)
        assert await talk.wait_until(errors, timeout_s=5)
        assert not stopped.is_set()
        stop(server)
        await closed(talk, stopped)

    assert talk.closed[0] == 1012


@pytest.mark.parametrize(
    ("in_turn", "shown_before_s", "is_detached", "expected"),
    [
        (False, REST_S, False, True),
        (False, REST_S / 2, False, False),
        (True, 60, False, False),
        (True, 0, True, True),
    ],
)
def test_between_turns_is_when_nothing_is_owed(in_turn, shown_before_s, is_detached, expected):
    """A client that is away is waited for no longer."""
    session = RunningSession("s", None, None, is_detached=is_detached, shown_at=100.0 - shown_before_s)
    session.is_in_turn = lambda: in_turn

    assert is_between_turns(session, 100.0) is expected
