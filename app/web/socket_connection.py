"""One WebSocket connection of a client, in any protocol; a session that can be resumed has several."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect

from app.web.auth.middleware import subprotocol
from app.web.errors import SERVICE_RESTART, TIMED_OUT, error_reply
from app.web.served_session import ClientGone
from app.web.socket_handshake import refuse_handshake

CLOSE_TIMEOUT_S = 5.0
"""How long a client may take to read the last message; the transport is aborted soon after."""

_LEFT = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, SERVICE_RESTART})
"""Close codes of a connection that was closed on purpose, by either side; any other was lost."""
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class SocketConnection:
    """What is read and written ends at once where the connection is lost, or given up for a newer one."""

    socket: WebSocket[Any, Any, Any]
    has_spoken: bool = False
    """Something has come from the client, so it has our first message."""
    is_accepted: bool = False
    is_closed: bool = False
    """By the server."""
    unread: list[dict[str, Any]] = field(default_factory=list)
    """Frames that were read before it was known whose they are; they come first."""
    lost: anyio.Event = field(default_factory=anyio.Event)
    _code: int | None = None
    """Close code; None: it is open, or was given up."""
    _waiting: set[anyio.CancelScope] = field(default_factory=set)

    @property
    def timed_out(self) -> bool:
        """The client answered no ping."""
        return self._code == TIMED_OUT

    @property
    def was_left(self) -> bool:
        """It was closed on purpose."""
        return self._code in _LEFT

    def farewell(self, error: Exception) -> bytes | None:  # noqa: ARG002 because it is for protocols that have one
        """The last message for this error, in the protocol's words; None: the close code says it all."""
        return None

    async def accept(self) -> None:
        """Answer the handshake, once. Raises ClientGone."""
        if self.is_accepted:
            return
        with _writing():
            await self.socket.accept(subprotocol(self.socket))
        self.is_accepted = True

    async def frames(self) -> AsyncGenerator[dict[str, Any], None]:
        """ASGI messages with a frame each, until the connection is lost."""
        while self.unread:
            yield self.unread.pop(0)
        while True:
            frame = await self.unless_lost(self.socket.receive)
            if frame is None or self.lost.is_set():  # what came last comes again, over the newer connection
                return
            if frame["type"] == "websocket.disconnect":
                self._code = frame["code"]
                self.give_up()
                return
            self.has_spoken = True
            yield dict(frame)

    async def unless_lost(self, wait: Callable[[], Awaitable[T]]) -> T | None:
        """The result of `wait`; None where the connection is lost before it comes."""
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                if not self.lost.is_set():
                    return await wait()
            finally:
                self._waiting.discard(scope)
        return None

    def give_up(self) -> None:
        """Read and write nothing more."""
        self.lost.set()
        for scope in self._waiting:
            scope.cancel()

    async def send(self, frame: bytes, *, text: bool = True) -> None:
        """A text frame, or a binary one. Raises ClientGone."""
        with _writing():
            await self.unless_lost(lambda: self.socket.send_data(frame, mode="text" if text else "binary"))
        if self.lost.is_set():
            raise ClientGone

    async def close(self) -> None:
        """The session is over, as it should be; nothing happens where the client has left."""
        if self.is_closed or self.lost.is_set():
            return
        self.is_closed = True
        with suppress(ClientGone), anyio.move_on_after(CLOSE_TIMEOUT_S), _writing():
            await self.socket.close()
        self.give_up()

    async def close_for(self, error: Exception) -> None:
        """The last message and the close code for this error, where the client is still there and reads. Once.

        Before the handshake is answered, it is refused.
        """
        if self.is_closed:
            return
        self.is_closed, reply = True, error_reply(error)
        if self.timed_out:  # the keepalive reports a disconnect, but what is written may still arrive
            self.socket.connection_state = "receive"
        with suppress(ClientGone), anyio.move_on_after(CLOSE_TIMEOUT_S), _writing():
            if not self.is_accepted:
                await refuse_handshake(self.socket, error)
                return
            if (last := self.farewell(error)) is not None:
                await self.socket.send_data(last, mode="text")
            await self.socket.close(reply.close_code, reply.code)
        self.give_up()


@contextmanager
def _writing() -> Generator[None, None, None]:
    """What writing to a client that is gone raises, as ClientGone; the OSError is ASGI's word for it."""
    try:
        yield
    except (WebSocketDisconnect, OSError) as error:
        raise ClientGone from error
