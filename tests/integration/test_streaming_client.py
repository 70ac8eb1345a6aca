"""Connecting to a server: what goes wrong is one sentence that names the cause."""

import ssl
from http import HTTPStatus

import anyio
import anyio.abc
import pytest
from parley_client import AddressError, ServerUnreachable, SessionError, SessionRefused
from websockets.asyncio.server import ServerConnection, serve

from tests.emulators.certificates import make_certificates
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio


async def close_at_once(connection: ServerConnection) -> None:
    await connection.close()


async def connection_error(url: str, key: str | None = None) -> SessionError:
    with pytest.raises(SessionError) as raised:
        async with open_session(url, key=key):
            pass
    return raised.value


async def test_a_loopback_server_is_not_asked_through_a_proxy(monkeypatch):
    """A proxy in the environment is for servers elsewhere."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with serve(close_at_once, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        async with open_session(f"ws://127.0.0.1:{port}/ws/transcribe") as client:
            await client.wait_until(lambda c: c.closed, timeout_s=5)

    assert client.closed == (1000, "")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (HTTPStatus.UNAUTHORIZED, "HTTP 401: it asks for a key"),
        (HTTPStatus.FORBIDDEN, "HTTP 403: it refuses this key or this origin"),
        (HTTPStatus.NOT_FOUND, "HTTP 404: there is no socket at this path"),
        (HTTPStatus.BAD_GATEWAY, "HTTP 502: a gateway answered, and no server behind it"),
        (HTTPStatus.IM_A_TEAPOT, "HTTP 418"),
    ],
)
async def test_a_refused_handshake_names_its_status_and_the_cause(status, sentence):
    """A wrong path or a gateway without a server behind it is told from an address where nobody listens."""

    def refuse(connection: ServerConnection, _request: object) -> object:
        return connection.respond(status, "no\n")

    async with serve(close_at_once, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]

        error = await connection_error(f"ws://127.0.0.1:{port}/ws/transcribe")

    assert isinstance(error, SessionRefused)
    assert sentence in str(error)


async def test_a_server_that_speaks_another_protocol_is_named():
    """The port of a database, say."""

    async def greet(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"220 mail.example ESMTP\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, greet)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)

        error = await connection_error(f"ws://127.0.0.1:{port}/ws/transcribe")

        tasks.cancel_scope.cancel()

    assert isinstance(error, SessionRefused)
    assert "no WebSocket server" in str(error)


async def test_a_host_that_does_not_exist_is_named():
    """Misspelt, say."""
    error = await connection_error("ws://parley.invalid/ws/transcribe")

    assert isinstance(error, ServerUnreachable)
    assert "no host of this name" in str(error)


async def test_a_certificate_that_nobody_trusts_is_named(tmp_path):
    """A self-signed one, say."""
    certificates = make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.server, certificates.key)
    async with serve(close_at_once, "localhost", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]

        error = await connection_error(f"wss://localhost:{port}/ws/transcribe")

    assert isinstance(error, ServerUnreachable)
    assert "TLS" in str(error)


@pytest.mark.parametrize(
    ("url", "key", "sentence"),
    [
        ("http://127.0.0.1:9/ws/transcribe", None, "is no WebSocket address"),
        ("ws://127.0.0.1:port/", None, "is no WebSocket address"),
        ("ws://127.0.0.1:9/", "“curly”", "plain ASCII"),
        ("ws://127.0.0.1:9/", "two\nlines", "plain ASCII"),
    ],
)
async def test_an_address_or_key_that_cannot_be_sent_is_a_setting(url, key, sentence):
    """Said before anything is sent."""
    error = await connection_error(url, key)

    assert isinstance(error, AddressError)
    assert sentence in str(error)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "socks://127.0.0.1:1080/"])
async def test_an_unusable_proxy_is_a_setting(monkeypatch, proxy):
    """For a server elsewhere; its name is never resolved here."""
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("SOCKS_PROXY", proxy)
    monkeypatch.setenv("ALL_PROXY", proxy)

    error = await connection_error("ws://parley.invalid/ws/transcribe")

    assert isinstance(error, AddressError)
    assert "proxy" in str(error)
