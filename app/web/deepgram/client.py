"""A Deepgram client on its WebSocket: the AdapterClient around a protocol of `/v1/listen` or Flux."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import msgspec

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.errors import ClientError, ClientFault
from app.runtime.dialog.outbox import EncodedMessage, OutboundMessage, Outbox
from app.runtime.dialog.session import Incoming
from app.web.auth.middleware import subprotocol
from app.web.client_input import FrameRate, client_fault
from app.web.deepgram.listen_protocol import ListenReceived
from app.web.errors import NORMAL, error_reply
from app.web.served_session import ClientGone
from app.web.socket_connection import CLOSE_TIMEOUT_S, SocketConnection
from app.web.socket_handshake import refuse_handshake

IDLE_TIMEOUT_S = 10.0
"""Without audio and without KeepAlive."""
UNDECODABLE, SERVER_FAULT = 1008, 1011
_encode = msgspec.json.Encoder().encode
_END = EncodedMessage(b"")
"""Behind the last message: the connection is closed."""


class StreamProtocol(Protocol):
    """What `/v1/listen` and Flux have in common."""

    request_id: str
    is_over: bool
    bad_frames: int

    def greeting(self) -> ListenReceived:
        """Before the client's first frame."""
        ...

    def receive_audio(self, data: bytes) -> ListenReceived:
        """Raises ClientError for undecodable audio."""
        ...

    def receive_text(self, text: str) -> ListenReceived: ...

    def finish(self) -> list[AudioChunk]: ...

    def show(self, shown: do.Shown) -> list[dict[str, Any]]: ...

    def failure(self, error: Exception) -> dict[str, Any] | None:
        """The last message for this error; None: there is none."""
        ...


@dataclass(slots=True, eq=False)
class DeepgramConnection(SocketConnection):
    """Every answer has the id of the request; errors close with Deepgram's codes."""

    request_id: str = ""

    async def accept(self) -> None:
        try:
            await self.socket.accept(subprotocol(self.socket), {"dg-request-id": self.request_id})
        except OSError as error:
            raise ClientGone from error
        self.is_accepted = True

    async def close_with(self, error: Exception, last: dict[str, Any] | None) -> None:
        """The last message and close code, where the client is still there and reads. Once."""
        if self.is_closed:
            return
        self.is_closed = True
        code, reason = _close_code(error)
        with suppress(ClientGone, OSError, RuntimeError), anyio.move_on_after(CLOSE_TIMEOUT_S):
            if not self.is_accepted:
                await refuse_handshake(self.socket, error)
                return
            if last is not None:
                await self.socket.send_data(_encode(last), mode="text")
            await self.socket.close(code, reason)
        self.give_up()

    async def close_normally(self) -> None:
        self.is_closed = True
        with suppress(OSError, RuntimeError), anyio.move_on_after(CLOSE_TIMEOUT_S):
            await self.socket.close(NORMAL, "")
        self.give_up()


def _close_code(error: Exception) -> tuple[int, str]:
    reply = error_reply(error)
    if isinstance(error, ClientError) and error.code is ClientFault.BAD_AUDIO:
        return UNDECODABLE, "DATA-0000"
    if isinstance(error, ClientError) and error.code is ClientFault.SESSION_SILENT:
        return SERVER_FAULT, "NET-0001"
    return reply.close_code, reply.code


@dataclass(slots=True)
class DeepgramClient:
    """The session's AdapterClient."""

    connection: DeepgramConnection
    protocol: StreamProtocol
    idle_timeout_s: float = IDLE_TIMEOUT_S
    _outbox: Outbox = field(default_factory=Outbox)
    _rate: FrameRate = field(default_factory=FrameRate)
    _error: ClientError | None = None
    _received_at: float = field(default_factory=anyio.current_time)

    async def incoming(self) -> AsyncIterator[Incoming]:
        """The session's configuration, then what the client sends, until it or the stream is over."""
        for item in self._take(self.protocol.greeting()):
            yield item
        async with aclosing(self._rate.frames(self.connection)) as frames:
            async for frame in frames:
                self._received_at = anyio.current_time()
                for item in self._read(frame):
                    yield item
                if self._fault():
                    break
        for chunk in self.protocol.finish():
            yield chunk

    def _read(self, frame: dict[str, Any]) -> list[Incoming]:
        data, text = frame.get("bytes"), frame.get("text")
        try:
            received = (
                self.protocol.receive_audio(data)
                if isinstance(data, bytes)
                else self.protocol.receive_text(text if isinstance(text, str) else "")
            )
        except ClientError as error:
            self._error = error
            return []
        return self._take(received)

    def _take(self, received: ListenReceived) -> list[Incoming]:
        self._put(received.messages)
        return received.inputs

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:  # noqa: ARG002 because no message has it
        was_over = self.protocol.is_over
        self._put(self.protocol.show(shown))
        if self.protocol.is_over and not was_over:
            self._outbox.put(OutboundMessage(_END))

    def acknowledge(self, samples: int) -> None:
        """No message says it."""

    async def write(self) -> None:
        """Send what there is; close behind the last message, or where nothing comes from the client for too long."""
        with suppress(ClientGone):
            while True:
                message = None
                left_s = self._received_at + self.idle_timeout_s - anyio.current_time()
                with anyio.move_on_after(max(0.01, left_s)):
                    message = await self.connection.unless_lost(self._outbox.take)
                    if message is None:
                        return
                if message is not None:
                    assert isinstance(message.shown, EncodedMessage)
                    if message.shown is _END:
                        await self.connection.close_normally()
                        return
                    await self.connection.send(message.shown.data)
                elif anyio.current_time() >= self._received_at + self.idle_timeout_s and not self.protocol.is_over:
                    reason = f"no audio and no KeepAlive came for {self.idle_timeout_s:g} s"
                    self._error = ClientError(ClientFault.SESSION_SILENT, reason, fatal=True)
                    self.connection.give_up()
                    return

    def raise_for_fault(self) -> None:
        """Raises ClientError where the session ended through the client's fault, and the socket is still open."""
        if not self.connection.is_closed and (fault := self._fault()):
            raise fault

    async def close_for(self, error: Exception) -> None:
        await self.connection.close_with(error, self.protocol.failure(error))

    def _put(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            self._outbox.put(OutboundMessage(EncodedMessage(_encode(message))))
        if self._outbox.overflowed:
            self.connection.give_up()

    def _fault(self) -> ClientError | None:
        return self._error or client_fault(self.connection, self._outbox, self.protocol.bad_frames)
