"""HTTP/2 over the AWS Common Runtime (awscrt), in place of `amazon_transcribe`'s own transport.

That one keeps a core busy, waits without a limit and takes a broken stream for the end of one
(tests/integration/test_aws_client_defects.py). This one has the same duck type as its `AwsCrtHttpSessionManager`;
`body.py` says how polling is throttled.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlparse

from awscrt import http, io

from providers.aws.body import PollThrottle, ThrottledBody

T = TypeVar("T")


class StreamBroken(Exception):
    """The stream ended before its end was asked for."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What comes before the body of a response."""

    status_code: int
    headers: dict[str, str]


class StreamingResponse:
    """The response to one request: bytes come in on awscrt's thread and go out on the event loop."""

    def __init__(self, body: ThrottledBody, disconnect: Callable[[], None]) -> None:
        self.body = body
        self._disconnect = disconnect
        self._loop = asyncio.get_running_loop()
        self._head: asyncio.Future[ResponseHead] = self._loop.create_future()
        # Unbounded, because awscrt cannot be made to wait; a stream's results are few.
        self._chunks: asyncio.Queue[bytes | StreamBroken | None] = asyncio.Queue()

    def on_headers(self, status_code: int, headers: list[tuple[str, str]], **_: object) -> None:
        self._on_loop(self._set_head, ResponseHead(status_code, dict(headers)))

    def on_body(self, chunk: bytes, **_: object) -> None:
        self._on_loop(self._chunks.put_nowait, chunk)

    def on_complete(self, done: "Future[int]") -> None:
        error = done.exception()
        self._on_loop(self._end, None if error is None else StreamBroken(str(error)))

    def _on_loop(self, call: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # because the loop may be closed already
            self._loop.call_soon_threadsafe(call, *args)

    def _set_head(self, head: ResponseHead) -> None:
        if not self._head.done():
            self._head.set_result(head)

    def _end(self, error: StreamBroken | None) -> None:
        if not self._head.done():
            self._head.set_exception(error or StreamBroken("the server closed the stream without a response"))
            self._head.exception()  # because asyncio warns of an exception that is never retrieved
        self._chunks.put_nowait(error)
        self.close()

    async def resolve_response(self) -> ResponseHead:
        try:
            return await self._head
        except asyncio.CancelledError:
            self.close()  # because a server that never answers would keep its connection
            raise

    def close(self) -> None:
        """Drop the connection, and what is still in transit."""
        self.body.close()
        self._disconnect()

    async def consume_body(self) -> bytes:
        self.body.close()  # because a stream is over when both sides are
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises StreamBroken where it was cut short."""
        while chunk := await self._chunks.get():
            if isinstance(chunk, StreamBroken):
                raise chunk
            yield chunk


class Http2Client:
    """Opens one connection per stream, so that one lost connection is one lost stream."""

    def __init__(self, ca_file: Path | None = None) -> None:
        group = io.EventLoopGroup(num_threads=1)
        self._bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
        options = io.TlsContextOptions()
        if ca_file is not None:
            options.override_default_trust_store_from_path(None, str(ca_file))
        self._tls = io.ClientTlsContext(options)
        self._socket_options = io.SocketOptions()
        self._socket_options.connect_timeout_ms = 3_000
        self._socket_options.keep_alive = True  # because a peer that lost its power does not close
        self._socket_options.keep_alive_interval_secs = 10
        self._socket_options.keep_alive_timeout_secs = 10
        self._socket_options.keep_alive_max_probes = 3
        self._throttle = PollThrottle()

    async def make_request(
        self, url: str, method: str = "GET", headers: list[tuple[str, str]] | None = None, body: object = None
    ) -> StreamingResponse:
        """A request whose body is written to the response's `body`; the one given here is not used."""
        del body
        connection = await self._connect(url)
        parsed = urlparse(url)
        response = StreamingResponse(ThrottledBody(self._throttle), connection.close)
        request = http.HttpRequest(method, parsed.path or "/", http.HttpHeaders(headers), body_stream=response.body)
        stream = connection.request(request, response.on_headers, response.on_body)
        stream.completion_future.add_done_callback(response.on_complete)
        stream.activate()
        self._throttle.notify()
        return response

    async def _connect(self, url: str) -> http.HttpClientConnection:
        parsed = urlparse(url)
        tls = self._tls.new_connection_options()
        tls.set_server_name(parsed.hostname)
        tls.set_alpn_list(["h2"])
        opening = http.HttpClientConnection.new(
            bootstrap=self._bootstrap,
            host_name=parsed.hostname,
            port=parsed.port or 443,
            socket_options=self._socket_options,
            tls_connection_options=tls,
        )
        self._throttle.notify()
        connection = await _wait_for(opening, on_late=lambda late: late.close())
        if connection.version is not http.HttpVersion.Http2:
            connection.close()
            raise StreamBroken(f"the server speaks {connection.version}, not HTTP/2")
        return connection


async def _wait_for(future: "Future[T]", *, on_late: Callable[[T], None]) -> T:
    """The result of an awscrt future; `on_late` gets it where the wait was cancelled.

    `asyncio.wrap_future` would cancel awscrt's own future, which it then cannot complete.
    """
    loop = asyncio.get_running_loop()
    ours: asyncio.Future[T] = loop.create_future()

    def deliver() -> None:
        error = future.exception()
        if not ours.cancelled() and error is not None:
            ours.set_exception(error)
        elif not ours.cancelled():
            ours.set_result(future.result())
        elif error is None:
            on_late(future.result())

    def on_done(_: "Future[T]") -> None:
        with suppress(RuntimeError):  # because the loop may be closed already
            loop.call_soon_threadsafe(deliver)

    future.add_done_callback(on_done)
    return await ours
