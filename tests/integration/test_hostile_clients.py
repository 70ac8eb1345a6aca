"""Eight people speak while hostile clients do their worst: every final arrives, and none comes ten times later."""

import gc
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import httpx
import pytest
from anyio import to_thread
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.client import open_session
from app.domain.client_limits import ClientLimits
from app.runtime.supervision import defects
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served

pytestmark = [
    pytest.mark.anyio,
    # because an attack is cancelled anywhere, in the middle of a handshake too, which leaves its own transport open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
INPUTS = Path(__file__).parents[1] / "inputs"
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


def udp_sockets() -> set[str]:
    """Local addresses of UDP sockets on this machine."""
    tables = [Path(f"/proc/net/{table}") for table in ("udp", "udp6")]
    return {line.split()[1] for path in tables if path.exists() for line in path.read_text().splitlines()[1:]}


def tiny_packets() -> bytes:
    """An Ogg file of ten thousand logical streams, each of one page with one byte."""
    pages = []
    for serial in range(10_000):
        head = b"OggS\0\2" + bytes(8) + serial.to_bytes(4, "little") + bytes(4) + bytes(4) + b"\1\1"
        pages.append(head + b"x")
    return b"".join(pages)


MEDIA = {
    "nothing": b"",
    "ten thousand streams": tiny_packets(),
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n",
    "hls from the network": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n",
    "flac of a billion channels": b"fLaC" + b"\x80\0\0\x22" + b"\xff" * 34 + b"\xff\xf8" * 5000,
    "sdp": (INPUTS / "sdp-binds-udp.txt").read_bytes(),
    "ffconcat": (INPUTS / "ffconcat-reads-other-file.txt").read_bytes(),
    "1 Hz": (INPUTS / "wav-1hz-6000s.wav").read_bytes(),
}


@pytest.mark.parametrize("name", MEDIA)
async def test_hostile_media_is_refused_within_seconds_and_binds_no_socket(name):
    lags = list[float]()

    async def watch_loop() -> None:
        while True:
            asked = time.monotonic()
            await anyio.sleep(0.01)
            lags.append(time.monotonic() - asked)

    service, before = scripted_service(), udp_sockets()
    async with (
        served(service) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(watch_loop)
        with anyio.fail_after(40):
            answer = await http.post("/recordings", content=MEDIA[name])
        bound = await to_thread.run_sync(udp_sockets) - before
        tasks.cancel_scope.cancel()

    assert (answer.status_code, json.loads(answer.text)["code"]) == (415, "bad_audio")
    assert bound == set()
    assert max(lags) < 5
    assert service.uploader.store.blobs == {}


@pytest.mark.parametrize("path", sorted(INPUTS.glob("*.*")), ids=lambda path: path.name)
async def test_every_unusual_file_is_transcribed_or_refused(path):
    async with (
        served(scripted_service()) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http,
    ):
        answer = await http.post("/recordings", content=path.read_bytes())

    assert answer.status_code in {201, 415}
