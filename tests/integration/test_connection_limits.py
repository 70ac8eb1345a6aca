"""Connections without a request must not keep others from theirs: limits of all, of one address, and who makes room."""

import json
from contextlib import AsyncExitStack, suppress

import anyio
import httpx
import pytest
from litestar import Litestar, get
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from app.domain.trusted_proxies import parse_networks
from app.web.liveness import live
from tests.eventually import until
from tests.serving import scripted_service, served, serving

pytestmark = pytest.mark.anyio
ATTACKER, CLIENT = "127.0.0.2", "127.0.0.1"
UNFINISHED = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n"
WHOLE = UNFINISHED + b"\r\n"
LIMITED = {"max_connections_per_address": 10, "uncounted": parse_networks(CLIENT)}
"""As if 127.0.0.2 were another machine."""


async def tcp_from(local: str, address: str, stack: AsyncExitStack):
    host, port = address.split(":")
    return await stack.enter_async_context(await anyio.connect_tcp(host, int(port), local_host=local))


async def everything(stream) -> bytes:
    """All that the server sends until it closes."""
    received = b""
    with anyio.fail_after(10):
        while True:
            try:
                received += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return received


async def flood(address: str, count: int, stack: AsyncExitStack):
    """So many connections of the attacker with an unfinished head."""
    streams = []
    for _ in range(count):
        stream = await tcp_from(ATTACKER, address, stack)
        streams.append(stream)
        with suppress(anyio.BrokenResourceError):  # because the server may have closed it already
            await stream.send(UNFINISHED)
    return streams


async def statuses(address: str, *paths: str) -> list[int]:
    """Each over a connection of its own."""
    answers = []
    for path in paths:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as http:
            answers.append((await http.get(path)).status_code)
    return answers


def answer_of(received: bytes) -> tuple[int, dict[str, str], dict]:
    """Status, headers and JSON of one response."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert int(headers["content-length"]) == len(body)
    return int(status.split(" ")[1]), headers, json.loads(body)


async def test_connections_of_one_address_above_its_limit_are_closed_at_once():
    async with served(scripted_service(), **LIMITED) as address, AsyncExitStack() as stack:
        streams = await flood(address, 10, stack)
        surplus = await tcp_from(ATTACKER, address, stack)

        assert await everything(surplus) == b""
        assert await statuses(address, "/health") == [200]
        await streams[0].send(b"\r\n")
        assert (await streams[0].receive()).startswith(b"HTTP/1.1 200 ")


async def test_address_may_connect_again_when_its_connections_have_ended():
    async with served(scripted_service(), **LIMITED) as address:
        async with AsyncExitStack() as first:
            await flood(address, 10, first)

        async def is_answered() -> bool:
            async with AsyncExitStack() as brief:
                stream = await tcp_from(ATTACKER, address, brief)
                try:
                    await stream.send(WHOLE)
                    return (await stream.receive()).startswith(b"HTTP/1.1 200 ")
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return False

        await until(is_answered)


async def test_sockets_count_among_the_connections_of_their_address():
    """Until they are lost, also where no session begins on them."""
    async with served(scripted_service(max_sessions=100), **LIMITED) as address, AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(f"ws://{address}/ws/raw", local_addr=(ATTACKER, 0)))
            for _ in range(10)
        ]
        with pytest.raises((InvalidMessage, ConnectionClosed, OSError)):
            await connect(f"ws://{address}/ws/raw", local_addr=(ATTACKER, 0))
        await sockets[0].close()

        async def may_connect() -> bool:
            try:
                async with connect(f"ws://{address}/ws/raw", local_addr=(ATTACKER, 0)):
                    return True
            except (InvalidMessage, ConnectionClosed, OSError):
                return False

        await until(may_connect)


async def test_unfinished_heads_of_any_addresses_make_room_for_whole_requests():
    """Ten times as many as there may be: each new connection closes the one that has waited longest."""
    async with served(scripted_service(), max_connections=10) as address, AsyncExitStack() as stack:
        streams = await flood(address, 200, stack)

        assert await statuses(address, "/health", "/health/live", "/recordings") == [200, 200, 200]
        status, headers, body = answer_of(await everything(streams[0]))

    assert (status, body["code"], headers["connection"]) == (503, "no_capacity", "close")
    assert int(headers["retry-after"]) > 0


async def test_idle_connections_make_room_without_an_answer_nobody_asked_for():
    async with served(scripted_service(), max_connections=10) as address, AsyncExitStack() as stack:
        idle = []
        for _ in range(20):
            stream = await tcp_from(CLIENT, address, stack)
            await stream.send(UNFINISHED)
            await stream.send(b"\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
            idle.append(stream)
        answers = await statuses(address, "/health", "/health")
        rest = await everything(idle[0])

    assert answers == [200, 200]
    assert b"HTTP/1.1 " not in rest


async def test_server_that_is_full_of_requests_answers_503_and_still_says_that_it_lives():
    released = anyio.Event()

    @get("/slow")
    async def slow() -> None:
        await released.wait()

    app = Litestar([slow, live], openapi_config=None)
    async with serving(app, max_connections=3) as address, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(statuses, address, "/slow")

        async def is_full() -> bool:
            return await statuses(address, "/anything") == [503]

        await until(is_full)
        async with httpx.AsyncClient(base_url=f"http://{address}") as http:
            refused, alive = await http.get("/slow"), await http.get("/health/live")
        released.set()

    assert (refused.status_code, refused.json()["code"], alive.status_code) == (503, "no_capacity", 200)
    assert int(refused.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [(b"G", 408, "head_too_slow"), (UNFINISHED + b"x: " + b"x" * 70_000, 431, "head_too_large")],
    ids=["too slow", "too large"],
)
async def test_refused_head_is_answered_in_the_protocols_shape(sent, status, code):
    async with served(scripted_service(), head_timeout_s=1) as address, AsyncExitStack() as stack:
        stream = await tcp_from(CLIENT, address, stack)
        await stream.send(sent)
        answer = answer_of(await everything(stream))

    assert (answer[0], answer[2]["code"]) == (status, code)


HEALTH = b"GET /health HTTP/1.1\r\n"
HANDSHAKE = b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: eA==\r\nsec-websocket-version: 13\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        HEALTH + b"host: 127.0.0.1\r\nhost: evil.example\r\n\r\n",
        HEALTH + b"Host: 127.0.0.1\r\nHOST: 127.0.0.1\r\n\r\n",
        HEALTH.replace(b"1.1", b"1.0") + b"host: 127.0.0.1\r\nhost: evil.example\r\n\r\n",
        b"GET /ws/raw HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\n" + HANDSHAKE + b"\r\n",
        b"\x16\x03\x01 a handshake of TLS\r\n\r\n",
        HEALTH + b"no colon\r\n\r\n",
        HEALTH + b"host: 127.0.0.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /recordings HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nno length\r\n",
    ],
    ids=[
        "two hosts",
        "one host twice",
        "two hosts of 1.0",
        "handshake",
        "tls",
        "header",
        "lengths",
        "body",
    ],
)
async def test_request_that_is_malformed_or_has_two_hosts_is_400_in_the_protocols_shape(sent):
    async with served(scripted_service()) as address, AsyncExitStack() as stack:
        stream = await tcp_from(CLIENT, address, stack)
        await stream.send(sent)
        status, headers, body = answer_of(await everything(stream))

    assert (status, headers["content-type"], body["code"]) == (400, "application/json", "invalid_request")
    assert body.keys() == {"code", "message"}


async def test_malformed_request_behind_another_does_not_answer_for_it():
    """The first one's response is cut off, never followed by an answer that could be taken for it."""
    began, released = anyio.Event(), anyio.Event()

    @get("/slow")
    async def slow() -> None:
        began.set()
        await released.wait()

    async with serving(Litestar([slow], openapi_config=None)) as address, AsyncExitStack() as stack:
        stream = await tcp_from(CLIENT, address, stack)
        await stream.send(b"GET /slow HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        await began.wait()
        await stream.send(b"no request\r\n\r\n")
        received = await everything(stream)
        released.set()

    assert received == b""
