"""The listening server: keepalive, HEAD, IPv6, and what happens to exceptions nobody foresaw."""

import json
import socket
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
import structlog
from litestar import Litestar, WebSocket, get, websocket
from litestar.response import Stream
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.cli.serve import _local_url
from app.domain.errors import ProviderBusy, RequestRefused, SettingsError
from app.runtime.supervision import defects
from app.web.errors import handle_http_error
from app.web.listener import bound_socket, http_url
from tests.eventually import until
from tests.serving import scripted_service, served, serving

pytestmark = pytest.mark.anyio
PING_S = 0.1


async def test_keepalive_keeps_a_client_whose_pong_is_behind_unread_audio():
    """The server reads nothing for many ping timeouts, then goes on with every frame that was sent."""
    frames: list[bytes] = []

    @websocket("/")
    async def busy(socket: WebSocket) -> None:
        await socket.accept()
        await anyio.sleep(8 * PING_S)
        while len(frames) < 20:
            frames.append(await socket.receive_data("binary"))
        await anyio.sleep(4 * PING_S)
        await socket.close(1000)

    async with (
        serving(Litestar([busy]), ping_seconds=PING_S) as address,
        connect(f"ws://{address}/", ping_interval=None) as client,
    ):
        for number in range(20):
            await client.send(bytes([number]) * 1000)
        with anyio.fail_after(10), pytest.raises(ConnectionClosed):
            await client.recv()

        assert [frame[0] for frame in frames] == list(range(20))
        assert client.close_code == 1000


async def test_a_client_that_answers_no_ping_is_ended_with_an_error_and_its_session_slot_is_free():
    service = scripted_service()
    async with (
        served(service, ping_seconds=PING_S) as address,
        connect(f"ws://{address}/ws/transcribe", ping_interval=None) as client,
    ):
        assert json.loads(await client.recv())["type"] == "session"
        client.transport.pause_reading()
        await until(lambda: is_true(not service.admission.sessions))
        client.transport.resume_reading()
        with anyio.fail_after(10):
            error = json.loads(await client.recv())
            with pytest.raises(ConnectionClosed):
                await client.recv()

        assert (error["type"], error["code"], error["fatal"]) == ("error", "client_timed_out", True)
        assert client.close_code == 3008


async def test_a_silent_client_that_answers_pings_is_kept():
    service = scripted_service()
    async with (
        served(service, ping_seconds=PING_S) as address,
        connect(f"ws://{address}/ws/transcribe", ping_interval=None) as client,
    ):
        await client.recv()
        await anyio.sleep(8 * PING_S)
        await client.send("{}")

        assert json.loads(await client.recv())["code"] == "bad_message"


async def is_true(value: bool) -> bool:
    return value


async def test_no_compression_is_agreed_to():
    """A frame of 15 kB could otherwise be 15 MB."""
    async with (
        served(scripted_service()) as address,
        connect(f"ws://{address}/ws/raw", compression="deflate") as client,
    ):
        assert client.protocol.extensions == []


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/recordings", "/policy/summary"])
async def test_head_has_the_headers_of_get_and_no_body(path):
    with structlog.testing.capture_logs() as lines:
        async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
            head, full = await http.head(path), await http.get(path)

    assert (head.status_code, head.content) == (full.status_code, b"")
    assert head.headers.get("content-type") == full.headers.get("content-type")
    assert [line for line in lines if line["event"] != "audit"] == []  # the route decides what is audited


async def test_head_of_what_cannot_be_got_is_refused():
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        head = await http.head("/no/such/page")

    assert (head.status_code, head.content) == (404, b"")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_the_address_of_all_hosts_listens_on_ipv6_and_ipv4():
    with bound_socket("::", 0) as listening:
        port = listening.getsockname()[1]
        for host in ("::1", "127.0.0.1"):
            async with await anyio.connect_tcp(host, port):
                pass

        assert http_url("::", listening) == f"http://[::]:{port}"
        assert {_local_url(host, listening) for host in ("::", "0.0.0.0", "127.0.0.1")} == {f"http://localhost:{port}"}
        assert _local_url("2001:db8::7", listening) == f"http://[2001:db8::7]:{port}"


@asynccontextmanager
async def failing_app():
    """Handlers that raise, and the log lines they leave."""

    @get("/unforeseen")
    async def unforeseen() -> None:
        raise KeyError("a secret")

    @get("/grouped")
    async def grouped() -> None:
        async with anyio.create_task_group():
            raise ProviderBusy("spool", "the disk is full")

    @get("/v1/refused")
    async def refused() -> None:
        raise RequestRefused("local", "does not know this language")

    @get("/v1/unforeseen")
    async def unforeseen_by_openai() -> None:
        raise KeyError("a secret")

    @get("/late")
    async def late() -> Stream:
        async def body():
            yield b"the beginning"
            raise ZeroDivisionError

        return Stream(body())

    handlers = [unforeseen, grouped, refused, unforeseen_by_openai, late]
    app = Litestar(handlers, exception_handlers={Exception: handle_http_error}, logging_config=None)
    async with serving(app) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        with structlog.testing.capture_logs() as lines:
            yield http, lines


async def test_unexpected_exception_is_logged_once_with_its_traceback_and_counted():
    before = defects["http"]
    async with failing_app() as (http, lines):
        answer = await http.get("/unforeseen")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert [(line["where"], type(line["exc_info"]), line["path"]) for line in lines] == [
        ("http", KeyError, "/unforeseen")
    ]
    assert defects["http"] == before + 1


async def test_an_error_inside_a_task_group_is_answered_as_itself():
    async with failing_app() as (http, lines):
        answer = await http.get("/grouped")

    assert (answer.status_code, answer.json()) == (
        503,
        {"code": "provider_busy", "message": "spool: the disk is full"},
    )
    assert lines == []


async def test_below_v1_errors_have_the_shape_openais_clients_read():
    async with failing_app() as (http, _):
        refused, defect = await http.get("/v1/refused"), await http.get("/v1/unforeseen")
        absent = await http.get("/v1/nothing")

    assert (refused.status_code, refused.json()["error"]) == (
        400,
        {
            "message": "local: does not know this language",
            "type": "invalid_request_error",
            "code": "request_refused",
            "param": None,
        },
    )
    assert (defect.status_code, defect.json()["error"]["type"]) == (500, "server_error")
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "not_found")


async def test_an_exception_behind_the_start_of_a_response_is_logged_once_and_cuts_the_connection():
    async with failing_app() as (http, lines):
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/late")

    assert [(line["where"], type(line["exc_info"])) for line in lines] == [("http", ZeroDivisionError)]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/no/such/page", 404, "not_found"),
        ("GET", "/%00", 404, "not_found"),
        ("GET", "/" + "a" * 300, 404, "not_found"),
        ("GET", "/%ff%fe", 404, "not_found"),
        ("PUT", "/health", 405, "method_not_allowed"),
        ("GET", "/recordings?limit=0", 400, "invalid_request"),
        ("GET", "/policy/decisions", 404, "not_found"),
    ],
)
async def test_the_routers_own_errors_have_the_documented_shape(method, path, status, code):
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answer = await http.request(method, path)

    assert answer.status_code == status
    assert (answer.json().keys(), answer.json()["code"]) == ({"code", "message"}, code)


@pytest.mark.parametrize("header", [b"Bearer \xe2\x80\x9ckey\xe2\x80\x9d", b"Bearer \xff", b"Bearer " + b"k" * 8000])
async def test_an_authorization_header_that_is_no_ascii_is_refused_like_any_wrong_key(header):
    service = scripted_service(tenants=lambda: ())
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answer = await http.get("/recordings", headers=[(b"authorization", header)])

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_an_origin_that_is_no_url_is_refused_without_a_log_line():
    with structlog.testing.capture_logs() as lines:
        async with (
            served(scripted_service()) as address,
            connect(f"ws://{address}/ws/raw", additional_headers={"Origin": "http://["}) as client,
        ):
            error = json.loads(await client.recv())

    assert error["code"] == "origin_refused"
    assert lines == []


@pytest.mark.parametrize("host", ["nosuch.invalid", "::ffff:0.0.0.0", "192.0.2.1"])
async def test_address_that_is_not_here_is_blamed_on_the_host(host):
    with pytest.raises(SettingsError, match=f"^PARLEY_HOST: cannot listen on {host}:0: "):
        bound_socket(host, 0)


async def test_port_in_use_is_blamed_on_the_port():
    with bound_socket("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(SettingsError, match=f"^PARLEY_PORT: cannot listen on 127.0.0.1:{port}: "):
            bound_socket("127.0.0.1", port)


async def test_connections_send_small_messages_at_once():
    """Without TCP_NODELAY the second of two waits for the client's acknowledgement of the first."""
    with (
        bound_socket("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
