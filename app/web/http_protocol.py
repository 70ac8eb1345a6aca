"""uvicorn's HTTP protocol with deadlines: for the head of a request, and for a body that nobody reads any more."""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_TIMEOUT_S = 20.0
"""From the connection, or from the first byte of a later request, until its headers are complete."""
MAX_HEAD_BYTES = 64 << 10
"""Request line and headers."""
LINGER_S = 10.0
"""After a response that did not wait for the whole body of its request."""
SPARE_CONNECTIONS = 256
"""Above the limit for requests: connections that are still answered, with 503."""


class DeadlineHttpProtocol(HttpToolsProtocol):
    """A client that sends slowly, or nothing, loses its connection; so does one above the limit of connections."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
        *,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        linger_s: float = LINGER_S,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_timeout_s, self._linger_s = head_timeout_s, linger_s
        self._head_bytes = 0
        self._timer: TimerHandle | None = None
        """Until the head is complete, or until an unread body is."""
        self._awaits_head = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency + SPARE_CONNECTIONS:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._awaits_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._cancel_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._cancel_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        cycle = self.cycle  # a pipelined request has one of its own by now
        if cycle.response_complete and cycle.more_body and self._timer is None:
            self._timer = self.loop.call_later(self._linger_s, self.transport.close)

    def _await_head(self) -> None:
        self._cancel_timer()
        self._awaits_head, self._head_bytes = True, 0
        self._timer = self.loop.call_later(self._head_timeout_s, self._refuse, 408)

    def _refuse(self, status: int) -> None:
        """Close; with this status first, where nothing else is being written and a request has begun.

        A browser opens connections ahead of its requests, and would take the 408 for the answer to its next one.
        """
        self._cancel_timer()
        if self._head_bytes and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _cancel_timer(self) -> None:
        self._awaits_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
