"""Clients that send or read too slowly, or send too fast: heads, bodies, responses, requests, pings, fragments."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import httpx
import pytest
from litestar import Litestar, get
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.domain.client_limits import ClientLimits
from app.domain.tenant import Tenant, fingerprint
from app.domain.trusted_proxies import parse_networks
from app.web.auth.rate_limit import RateLimiter
from tests.clips import HANDS
from tests.eventually import until
from tests.serving import scripted_service, served, serving
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
HEAD = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n"
SHORT_S = 0.3
CLIENT, OTHER = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.8"}


async def tcp(address: str):
    host, port = address.split(":")
    return await anyio.connect_tcp(host, int(port))


async def everything(stream) -> bytes:
    """All that the server sends until it closes."""
    received = b""
    with anyio.fail_after(5):
        while True:
            try:
                received += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return received


# -- Too slowly -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"G", HEAD], ids=["one byte", "a head without its end"])
async def test_connection_whose_head_does_not_come_is_closed_with_408(sent):
    async with served(scripted_service(), head_timeout_s=SHORT_S) as address, await tcp(address) as stream:
        await stream.send(sent)

        assert (await everything(stream)).startswith(b"HTTP/1.1 408 ")


async def test_connection_that_sends_nothing_is_closed_without_a_word():
    """A browser that has opened it ahead would take a 408 for the answer to its next request."""
    async with served(scripted_service(), head_timeout_s=SHORT_S) as address, await tcp(address) as stream:
        assert await everything(stream) == b""


async def test_head_that_comes_byte_by_byte_has_no_more_time():
    async with served(scripted_service(), head_timeout_s=SHORT_S) as address, await tcp(address) as stream:
        began = anyio.current_time()
        with pytest.raises(anyio.BrokenResourceError):
            while anyio.current_time() < began + 5:
                await stream.send(b"a")
                await anyio.sleep(0.02)

        assert anyio.current_time() < began + 4


async def test_deadline_of_the_head_holds_for_every_request_of_a_connection():
    """The first is answered; between two requests a connection may be idle for longer."""
    async with served(scripted_service(), head_timeout_s=SHORT_S) as address, await tcp(address) as stream:
        await stream.send(HEAD + b"\r\n")
        first = await stream.receive()
        await anyio.sleep(2 * SHORT_S)
        await stream.send(HEAD)
        rest = await everything(stream)

    assert first.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in rest


async def test_head_of_more_than_64_kib_is_refused_with_431():
    async with served(scripted_service()) as address, await tcp(address) as stream:
        await stream.send(HEAD)
        with pytest.raises(anyio.BrokenResourceError):
            for _ in range(1000):
                await stream.send(b"x-more: " + b"x" * 1000 + b"\r\n")
                await anyio.sleep(0.01)


@pytest.mark.parametrize("path", ["/recordings", "/recordings/uploads"])
async def test_body_that_does_not_come_is_refused_with_408_and_takes_no_place(path):
    """More of them than there are places leave room for a session, also while they are waited for."""
    service = scripted_service(max_sessions=2)
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n\r\nR".encode()
    async with served(service, body_timeout_s=SHORT_S) as address, anyio.create_task_group() as tasks:
        answers: list[bytes] = []

        async def send_slowly() -> None:
            async with await tcp(address) as stream:
                await stream.send(head)
                answers.append(await everything(stream))

        for _ in range(4):
            tasks.start_soon(send_slowly)
        async with open_session(f"ws://{address}/ws/transcribe") as talk:
            assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
        await until(lambda: holds(len(answers) == 4))

    if path == "/recordings":
        assert [answer.split(b" ")[1] for answer in answers] == [b"408"] * 4
        assert all(b'"body_too_slow"' in answer for answer in answers)
    assert service.admission.sessions == {}


async def test_body_that_keeps_coming_may_take_longer_than_the_deadline():
    """Every 4 KiB make up for a second of waiting."""
    recording = HANDS.path.read_bytes()

    async def pieces():
        for start in range(0, len(recording), 8192):
            yield recording[start : start + 8192]
            await anyio.sleep(0.05)

    async with (
        served(scripted_service(), body_timeout_s=SHORT_S) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http,
    ):
        began = anyio.current_time()
        answer = await http.post("/recordings", content=pieces())

    assert (answer.status_code, anyio.current_time() - began > SHORT_S) == (201, True)


async def test_body_that_came_fast_and_then_stops_is_refused_as_soon_as_any_other():
    """A megabyte earns no four minutes, in which it would hold memory and a place."""
    head = b"POST /recordings HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2000000\r\n\r\n"
    async with served(scripted_service(), body_timeout_s=SHORT_S) as address, await tcp(address) as stream:
        await stream.send(head + b"R" * 1_000_000)

        assert (await everything(stream)).startswith(b"HTTP/1.1 408 ")


async def test_connection_is_closed_when_an_answered_request_keeps_sending_its_body():
    """A 404 needs no body, and a trickle of it must not keep the connection."""
    head = b"POST /health HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n"
    async with served(scripted_service(), body_timeout_s=SHORT_S) as address, await tcp(address) as stream:
        await stream.send(head)
        assert (await stream.receive()).startswith(b"HTTP/1.1 405 ")
        with anyio.fail_after(5), pytest.raises(anyio.BrokenResourceError):
            while True:
                await stream.send(b"a")
                await anyio.sleep(0.02)


async def test_peer_that_does_not_close_a_closed_socket_is_cut_off(monkeypatch):
    monkeypatch.setattr("app.web.keepalive.ABORT_AFTER_S", SHORT_S)
    handshake = (
        b"GET /ws/transcribe HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\norigin: http://evil\r\n\r\n"
    )
    async with served(scripted_service()) as address, await tcp(address) as stream:
        await stream.send(handshake)

        assert b"origin_refused" in await everything(stream)


# -- Too fast ---------------------------------------------------------------------------------------


def limited(**changes):
    """A service behind a proxy on this machine, where a client may send two requests at once, and two in 5 seconds."""
    return scripted_service(
        client_limits=ClientLimits(requests_per_s=0.4), trusted_proxies=parse_networks("private"), **changes
    )


async def test_requests_of_one_address_above_the_rate_are_429_with_retry_after():
    """Another address is not affected, nor are this machine's own requests."""
    async with served(limited()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answers = [await http.get("/health", headers=CLIENT) for _ in range(8)]
        other = await http.get("/health", headers=OTHER)
        own = {(await http.get("/health")).status_code for _ in range(8)}

    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert refused
    assert (refused[0].json()["code"], refused[0].headers["retry-after"] in "123") == ("rate_limited", True)
    assert (other.status_code, own) == (200, {200})


async def test_wrong_keys_cannot_be_tried_faster_than_the_rate():
    service = limited(tenants=lambda: (Tenant("acme", (fingerprint("right"),)),))
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        tried = [
            (await http.get("/recordings", headers={**CLIENT, "Authorization": f"Bearer {number}"})).status_code
            for number in range(8)
        ]

    assert set(tried) == {401, 429}


async def test_rate_of_one_key_holds_for_all_its_addresses():
    acme, globex = Tenant("acme", (fingerprint("a"),)), Tenant("globex", (fingerprint("g"),))
    service = limited(tenants=lambda: (acme, globex))
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:

        async def status(number: int, key: str) -> int:
            headers = {"X-Forwarded-For": f"203.0.113.{number}", "Authorization": f"Bearer {key}"}
            return (await http.get("/recordings", headers=headers)).status_code

        of_acme = {await status(number, "a") for number in range(8)}
        of_globex = await status(0, "g")

    assert (of_acme, of_globex) == ({200, 429}, 200)


async def test_handshakes_above_the_rate_are_told_so_and_closed_with_1013():
    async with served(limited(max_sessions=100)) as address:
        for _ in range(8):
            async with connect(f"ws://{address}/ws/transcribe", additional_headers=CLIENT) as socket:
                message = json.loads(await socket.recv())
                if message["type"] == "error":
                    with pytest.raises(ConnectionClosed):
                        await socket.recv()
                    break

    assert (message["code"], message["fatal"], socket.close_code) == ("rate_limited", True, 1013)


def test_rate_limiter_keeps_a_bounded_number_of_clients():
    """The one that was seen longest ago begins anew."""
    limiter = RateLimiter(1, max_buckets=2)
    for _ in range(5):
        limiter.take("first", now=0)

    waits = [limiter.take(client, now=0) for client in ("first", "second", "third", "first")]

    assert [wait > 0 for wait in waits] == [True, False, False, False]


async def test_request_above_the_limit_of_connections_is_503():
    async with (
        served(scripted_service(), max_connections=2) as address,
        open_session(f"ws://{address}/ws/transcribe") as one,
        open_session(f"ws://{address}/ws/transcribe") as two,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
    ):
        for talk in (one, two):
            assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
        answer = await http.get("/health")

    assert answer.status_code == 503


async def test_flood_of_pings_cuts_the_connection():
    async with (
        served(scripted_service()) as address,
        connect(f"ws://{address}/ws/transcribe", ping_interval=None) as socket,
    ):
        with anyio.fail_after(5), pytest.raises(ConnectionClosed):
            for _ in range(1000):
                await socket.ping()
            while True:
                await socket.recv()


async def test_message_of_endless_empty_fragments_is_closed_with_1009():
    async with served(scripted_service()) as address, connect(f"ws://{address}/ws/transcribe") as socket:
        with anyio.fail_after(5), pytest.raises(ConnectionClosed):
            await socket.send([b""] * 100_000)
            await socket.recv()
            await socket.recv()

    assert socket.close_code == 1009


async def test_message_in_a_few_fragments_is_taken():
    async with served(scripted_service()) as address, connect(f"ws://{address}/ws/transcribe") as socket:
        await socket.recv()
        await socket.send(["{", "}"])

        assert json.loads(await socket.recv())["code"] == "bad_message"


async def holds(value: bool) -> bool:
    return value


@asynccontextmanager
async def slow_socket(**options):
    """A connection with a small receive buffer to a server whose every response has eight megabytes."""

    @get("/")
    async def large() -> bytes:
        return bytes(8 << 20)

    async with serving(Litestar([large]), **options) as address:
        host, port = address.split(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, (host, int(port)))
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            yield partial(loop.sock_recv, client, 1 << 16)


async def test_client_that_does_not_read_its_response_is_cut_off():
    async with slow_socket(write_timeout_s=SHORT_S) as receive:
        await anyio.sleep(4 * SHORT_S)
        received = 0
        with suppress(ConnectionResetError):  # or its end, according to what is still in the socket
            while piece := await receive():
                received += len(piece)

    assert received < 8 << 20


async def test_client_that_reads_slowly_gets_its_whole_response():
    received = 0
    async with slow_socket(write_timeout_s=5) as receive:
        while received < 8 << 20:
            received += len(await receive())
            await anyio.sleep(0.001)
