"""Eight people speak while hostile clients do their worst: every final arrives, and none comes ten times later."""

import gc
import time
from contextlib import AsyncExitStack

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.domain.client_limits import ClientLimits
from app.runtime.supervision import defects
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = [
    pytest.mark.anyio,
    # because an attack is cancelled anywhere, in the middle of a handshake too, which leaves its own transport open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PEOPLE, UTTERANCES = 8, 3
TURN = SPEECH * 10 + SILENCE * 30
SLOWEST_S = 10.0
"""An order of magnitude above what a final takes on a busy machine."""
LIMITS = ClientLimits(messages_per_s=20, connections=1500, session_idle_s=60)


async def speak(address: str, delays: list[float]) -> None:
    """One person: each utterance is sent when the final of the one before has come."""
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_message(type="configure", reply=False)
        for number in range(1, UTTERANCES + 1):
            started = time.monotonic()
            await talk.send_audio(TURN, pace=0)
            assert await talk.wait_until(lambda t, n=number: len(t.messages("fullSentence")) >= n, timeout_s=30)
            delays.append(time.monotonic() - started)


async def idle_sockets(address: str, count: int = 200) -> None:
    async def idle() -> None:
        async with connect(f"ws://{address}/ws/raw", compression=None) as socket:
            async for _ in socket:
                pass

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(idle)
            await anyio.sleep(0.002)


async def slow_heads_and_bodies(address: str) -> None:
    host, port = address.split(":")

    async def drip(start: bytes) -> None:
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(start)
            while True:
                await anyio.sleep(0.05)
                await stream.send(b"x")

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(drip, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            tasks.start_soon(drip, b"POST /recordings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")


async def half_open_peers(address: str) -> None:
    """Handshakes whose other side reads nothing any more, and connections that are reset at once."""
    host, port = address.split(":")
    handshake = (
        "GET /ws/raw HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with AsyncExitStack() as kept:
        for _ in range(50):
            stream = await kept.enter_async_context(await anyio.connect_tcp(host, int(port)))
            await stream.send(handshake.encode())
            await (await anyio.connect_tcp(host, int(port))).aclose()
        await anyio.sleep_forever()


async def message_floods(address: str) -> None:
    while True:
        try:
            async with connect(f"ws://{address}/ws/transcribe", compression=None) as socket:
                for _ in range(2000):
                    await socket.send('{"type":"say","text":"again"}')
        except (OSError, ConnectionClosed):
            await anyio.sleep(0.01)


async def connection_floods(address: str) -> None:
    host, port = address.split(":")
    while True:
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        await anyio.sleep(0.002)


async def oversize_frames(address: str) -> None:
    while True:
        try:
            async with connect(f"ws://{address}/ws/raw", compression=None) as socket:
                await socket.send(bytes(8 << 20))
                await socket.recv()
        except (OSError, ConnectionClosed):
            pass
        await anyio.sleep(0.05)


ATTACKS = {
    attack.__name__: attack
    for attack in (
        idle_sockets,
        slow_heads_and_bodies,
        half_open_peers,
        message_floods,
        connection_floods,
        oversize_frames,
    )
}


async def keep_on(attack, address: str) -> None:
    """A server that hangs up on its attacker is within its rights."""
    try:
        await attack(address)
    except* (OSError, ConnectionClosed, anyio.BrokenResourceError, anyio.EndOfStream):
        pass


async def finals_under(attack) -> list[float]:
    service, delays = scripted_service(max_sessions=2000, client_limits=LIMITS), list[float]()
    async with served(service, head_timeout_s=2, body_timeout_s=2) as address, anyio.create_task_group() as tasks:
        tasks.start_soon(keep_on, attack, address)
        await anyio.sleep(0.5)
        async with anyio.create_task_group() as people:
            for _ in range(PEOPLE):
                people.start_soon(speak, address, delays)
        tasks.cancel_scope.cancel()
    return delays


@pytest.fixture
def closed_transports():
    """What an attack left open is collected here, not in the middle of another test."""
    yield
    gc.collect()


@pytest.mark.usefixtures("closed_transports")
@pytest.mark.parametrize("attack", ATTACKS)
async def test_people_get_their_finals_under_attack(attack):
    before = defects.total()

    delays = await finals_under(ATTACKS[attack])

    assert len(delays) == PEOPLE * UTTERANCES
    assert sorted(delays)[int(len(delays) * 0.95)] < SLOWEST_S
    assert defects.total() == before


@pytest.mark.nightly
async def test_people_get_their_finals_beside_a_thousand_idle_sockets():
    delays = await finals_under(lambda address: idle_sockets(address, 1000))

    assert len(delays) == PEOPLE * UTTERANCES


async def test_compression_of_frames_is_never_agreed_to():
    async with (
        served(scripted_service()) as address,
        connect(f"ws://{address}/ws/raw", compression="deflate") as socket,
    ):
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
