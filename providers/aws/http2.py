"""HTTP/2 over the AWS CRT, for a client whose own transport spins, hangs and takes a broken stream for an end.

It stands in for `amazon_transcribe.httpsession.AwsCrtHttpSessionManager`, whose duck type it shares.
The CRT polls a request body for as long as it is open; here the polls rest until there is something to send.
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
    """The stream ended in a way nobody asked for."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What comes before the body of a response."""

    status_code: int
    headers: dict[str, str]


class StreamingResponse:
    """The response to one request: bytes come in on the CRT's thread and go out on the event loop."""

    def __init__(self, body: ThrottledBody, disconnect: Callable[[], None]) -> None:
        self.body = body
        self._disconnect = disconnect
        self._loop = asyncio.get_running_loop()
        self._head: asyncio.Future[ResponseHead] = self._loop.create_future()
        self._chunks: asyncio.Queue[bytes | StreamBroken | None] = asyncio.Queue()  # whoever reads never waits

    def on_headers(self, status_code: int, headers: list[tuple[str, str]], **_: object) -> None:
        self._on_loop(self._set_head, ResponseHead(status_code, dict(headers)))

    def on_body(self, chunk: bytes, **_: object) -> None:
        self._on_loop(self._chunks.put_nowait, chunk)

    def on_complete(self, done: "Future[int]") -> None:
        fault = done.exception()
        self._on_loop(self._end, None if fault is None else StreamBroken(str(fault)))

    def _on_loop(self, call: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # because a loop that is closed has nobody left to tell
            self._loop.call_soon_threadsafe(call, *args)

    def _set_head(self, head: ResponseHead) -> None:
        if not self._head.done():
            self._head.set_result(head)

    def _end(self, fault: StreamBroken | None) -> None:
        if not self._head.done():
            self._head.set_exception(fault or StreamBroken("the server closed the stream without a response"))
            self._head.exception()  # because nobody may be left to look at it
        self._chunks.put_nowait(fault)
        self.close()

    async def resolve_response(self) -> ResponseHead:
        try:
            return await self._head
        except asyncio.CancelledError:
            self.close()  # because a server that never answers would keep its connection
            raise

    def close(self) -> None:
        """Drop the connection, whatever is still on its way."""
        self.body.close()
        self._disconnect()

    async def consume_body(self) -> bytes:
        self.body.close()  # because a stream is over when both sides are
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises Broken where it was cut short."""
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
        self._socket_options.keep_alive = True  # because a peer that lost its power says no goodbye
        self._socket_options.keep_alive_interval_secs = 10
        self._socket_options.keep_alive_timeout_secs = 10
        self._socket_options.keep_alive_max_probes = 3
        self._rest = PollThrottle()

    async def make_request(
        self, url: str, method: str = "GET", headers: list[tuple[str, str]] | None = None, body: object = None
    ) -> StreamingResponse:
        """A request whose body is written to the answer's `body`, and not to the one given here."""
        del body
        connection = await self._connect(url)
        parsed = urlparse(url)
        answer = StreamingResponse(ThrottledBody(self._rest), connection.close)
        request = http.HttpRequest(method, parsed.path or "/", http.HttpHeaders(headers), body_stream=answer.body)
        stream = connection.request(request, answer.on_headers, answer.on_body)
        stream.completion_future.add_done_callback(answer.on_complete)
        stream.activate()
        self._rest.ring()
        return answer

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
        self._rest.ring()
        connection = await _outcome(opening, too_late=lambda late: late.close())
        if connection.version is not http.HttpVersion.Http2:
            connection.close()
            raise StreamBroken(f"the server speaks {connection.version}, not HTTP/2")
        return connection


async def _outcome(future: "Future[T]", *, too_late: Callable[[T], None]) -> T:
    """What a CRT future brings; `too_late` gets it where the wait was cancelled.

    `asyncio.wrap_future` would cancel the CRT's own future, which it then cannot complete.
    """
    loop = asyncio.get_running_loop()
    ours: asyncio.Future[T] = loop.create_future()

    def deliver() -> None:
        fault = future.exception()
        if not ours.cancelled() and fault is not None:
            ours.set_exception(fault)
        elif not ours.cancelled():
            ours.set_result(future.result())
        elif fault is None:
            too_late(future.result())

    def tell(_: "Future[T]") -> None:
        with suppress(RuntimeError):  # because a loop that is closed has nobody left to tell
            loop.call_soon_threadsafe(deliver)

    future.add_done_callback(tell)
    return await ours
