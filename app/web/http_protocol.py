"""uvicorn's HTTP protocol with deadlines, of heads, bodies and responses, and limits of connections."""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from app.web.errors import ErrorReply
from app.web.keepalive import KeepaliveProtocol
from app.web.open_connections import OpenConnections
from app.web.overload import NO_ROOM

HEAD_TIMEOUT_S = 20.0
"""From the connection, or from the first byte of a later request, until its headers are complete."""
MAX_HEAD_BYTES = 64 << 10
"""Request line and headers."""
LINGER_S = 10.0
"""After a response that did not wait for the whole body of its request."""
WRITE_TIMEOUT_S = 30.0
"""For a client that does not take what waits for it, 48 KiB at a time: it holds a rendering, a file or a place."""
_NOT_HTTP = ErrorReply(400, 0, "invalid_request", "this is no request of HTTP/1.1, or it has more than one Host header")
_HEAD_TOO_SLOW = ErrorReply(408, 0, "head_too_slow", "the head of the request came too slowly")
_HEAD_TOO_LARGE = ErrorReply(431, 0, "head_too_large", f"the head of the request is larger than {MAX_HEAD_BYTES} bytes")


class DeadlineHttpProtocol(HttpToolsProtocol):
    """A client that sends or reads slowly, or not at all, loses its connection; so does one with too many of them.

    Where the server has no room for a new connection, the one that has waited longest for a request makes room.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
        *,
        open_connections: OpenConnections["DeadlineHttpProtocol"],
        head_timeout_s: float = HEAD_TIMEOUT_S,
        linger_s: float = LINGER_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open = open_connections
        self._head_timeout_s, self._linger_s = head_timeout_s, linger_s
        self._head_bytes = 0
        self._timer: TimerHandle | None = None
        """Until the head is complete, or until an unread body is."""
        self._awaits_head = False
        self._write_timeout_s = write_timeout_s
        self._write_timer: TimerHandle | None = None
        """While the client takes nothing."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if not self._open.add(self, self.client[0] if self.client else ""):
            transport.abort()
            return
        self._await_head()
        if (oldest := self._open.make_room(self)) is not None:
            oldest._refuse(NO_ROOM, is_answered=oldest._has_begun)  # noqa: SLF001 because it is of this class

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        self._cancel_write_timer()
        self._open.remove(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._cancel_write_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._awaits_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_HEAD_TOO_LARGE, is_answered=self._is_idle)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._cancel_timer()
        if sum(name == b"host" for name, _ in self.headers) > 1:  # which one would be checked, and which one used?
            raise ValueError("more than one Host header")
        self._head_bytes = 0
        self._open.begin_request(self)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._cancel_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 because uvicorn's own sentence is not the client's
        """Called for what the parser refuses; in the middle of another request's response the connection is cut."""
        is_of_this_request = self.cycle is not None and self.cycle.more_body and not self.cycle.response_started
        self._refuse(_NOT_HTTP, is_answered=is_of_this_request or self._is_idle)

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        successor = self.transport.get_protocol()
        assert isinstance(successor, KeepaliveProtocol)
        successor.forget = lambda: self._open.remove(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        cycle = self.cycle  # a pipelined request has one of its own by now
        if cycle.response_complete:
            self._open.await_request(self)
        if cycle.response_complete and cycle.more_body and self._timer is None:
            self._timer = self.loop.call_later(self._linger_s, self.transport.close)

    def _await_head(self) -> None:
        self._cancel_timer()
        self._awaits_head, self._head_bytes = True, 0
        self._timer = self.loop.call_later(self._head_timeout_s, self._time_out)

    def _time_out(self) -> None:
        self._refuse(_HEAD_TOO_SLOW, is_answered=self._has_begun)

    @property
    def _is_idle(self) -> bool:
        """No response is being made."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _has_begun(self) -> bool:
        """A part of a head has come, and no response to an earlier request is being made.

        A browser opens connections ahead of its requests, and would take an answer for that to its next one.
        """
        return bool(self._head_bytes) and self._is_idle

    def _refuse(self, reply: ErrorReply, *, is_answered: bool) -> None:
        """Close; with this answer first, or without one."""
        self._cancel_timer()
        if is_answered:
            body = msgspec.json.encode({"code": reply.code, "message": reply.message})
            headers = {**reply.headers, "content-type": "application/json", "content-length": str(len(body))}
            lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "connection": "close"}.items())
            self.transport.write(STATUS_LINE[reply.status] + lines.encode() + b"\r\n" + body)
        self.transport.close()

    def _cancel_timer(self) -> None:
        self._awaits_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
