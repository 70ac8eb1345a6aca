"""WebSocket keepalive that ends a silent peer, and never one whose frames the server has not read yet."""

from asyncio import TimerHandle
from asyncio.transports import BaseTransport
from collections.abc import Callable

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from app.domain.token_bucket import TokenBucket
from app.web.errors import TIMED_OUT

ABORT_AFTER_S = 30.0
"""After a timeout the session has so long to end; and after a session its peer, to read what was written to it."""

PINGS_PER_S, PING_BURST = 10, 100
"""Pings of one peer that are answered; a peer that sends more is cut off."""
MAX_FRAGMENTS = 1000
"""Of one message."""


class KeepaliveProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, but for what an unanswered ping means.

    While the application applies backpressure, the peer's pong lies unread behind its own audio, so no time counts
    until the server reads again; and whatever arrives counts as life, not the pong alone. A peer that is silent
    nevertheless is reported to the application as a disconnect with close code 3008, which may still say why.
    """

    _received_at: float = 0.0
    _resumed_at: float = 0.0
    _abort_timer: TimerHandle | None = None
    forget: Callable[[], None] = staticmethod(lambda: None)
    """Called when the connection is lost."""

    def connection_made(self, transport: BaseTransport) -> None:
        self._pings = TokenBucket(PINGS_PER_S, PING_BURST, self.loop.time())
        self._received_at = self._resumed_at = self.loop.time()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.forget()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        super().connection_lost(exc)

    def handle_ping(self) -> None:
        """A pong for a peer that does not read is dropped, and a peer that floods the server with pings as well."""
        output = self.conn.data_to_send()
        if self._pings.take(self.loop.time()):
            self.transport.abort()
        elif self.writable.is_set():
            self.transport.write(b"".join(output))

    def handle_cont(self, event: Frame) -> None:
        """A message in more fragments than any client makes, such as empty ones without end, is too big."""
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.handle_parser_exception()

    def data_received(self, data: bytes) -> None:
        self._received_at = self.loop.time()
        super().data_received(data)

    async def receive(self) -> ASGIReceiveEvent:
        was_paused = self.read_paused
        message = await super().receive()
        if was_paused and not self.read_paused:
            self._resumed_at = self.loop.time()
        return message

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.disconnected:  # a peer that reads nothing would keep the closing connection for ever
            self._abort_timer = self.loop.call_later(ABORT_AFTER_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        assert self.ping_timeout is not None
        self.pong_timer = None
        if self.close_sent or self.transport.is_closing():
            return
        listened_s = 0.0 if self.read_paused else self.loop.time() - max(self._resumed_at, self.ping_sent_at)
        if self._received_at > self.ping_sent_at:
            self.pending_ping_payload = None
            self.schedule_ping()
        elif listened_s < self.ping_timeout:
            self.pong_timer = self.loop.call_later(self.ping_timeout - listened_s, self.keepalive_timeout)
        else:
            self.pending_ping_payload = None
            self.queue.put_nowait({"type": "websocket.disconnect", "code": TIMED_OUT, "reason": "ping timeout"})
            self._abort_timer = self.loop.call_later(ABORT_AFTER_S, self.transport.abort)
