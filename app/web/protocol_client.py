"""The AdapterClient of a protocol that makes messages when they are sent: this reads and writes, that says what."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError
from app.runtime.dialog.outbox import OutboundMessage, Outbox
from app.runtime.dialog.session import Incoming
from app.web.client_input import FrameRate, client_fault
from app.web.served_session import ClientGone
from app.web.socket_connection import SocketConnection


class FrameProtocol(Protocol):
    is_over: bool
    """The client has said that nothing more comes."""

    def begin(self) -> Sequence[Incoming]:
        """What the session begins with. Raises ClientError."""
        ...

    def greeting(self) -> Sequence[bytes]:
        """What the client is told first, as text frames."""
        ...

    def receive(self, frame: Mapping[str, Any]) -> Sequence[Incoming]:
        """What a frame with `text` or `bytes` is for the session. Raises ClientError."""
        ...

    def finish(self) -> Sequence[Incoming]:
        """What is left when the client is gone."""
        ...

    async def messages(self, shown: object) -> Sequence[bytes]:
        """What a client is told of it, as text frames."""
        ...


@dataclass(slots=True)
class ProtocolClient:
    connection: SocketConnection
    protocol: FrameProtocol
    _outbox: Outbox = field(default_factory=Outbox)
    _bad_frames: int = 0
    _rate: FrameRate = field(default_factory=FrameRate)

    async def incoming(self) -> AsyncIterator[Incoming]:
        for item in self.protocol.begin():
            yield item
        async with aclosing(self._rate.frames(self.connection)) as frames:
            async for frame in frames:
                for item in self._read(frame):
                    yield item
                if self.protocol.is_over or self._fault():
                    break
        for item in self.protocol.finish():
            yield item

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        self._outbox.put(OutboundMessage(shown, ttfs_ms))
        if self._outbox.overflowed:
            self.connection.give_up()

    def acknowledge(self, samples: int) -> None:
        """No message says it."""

    async def write(self) -> None:
        with suppress(ClientGone):  # the reading side notices, and knows why
            while (outbound := await self.connection.unless_lost(self._outbox.take)) is not None:
                for message in await self.protocol.messages(outbound.shown):
                    await self.connection.send(message)

    async def close_for(self, error: Exception) -> None:
        await self.connection.close_for(error)

    def raise_for_fault(self) -> None:
        if not self.connection.is_closed and (fault := self._fault()):
            raise fault

    def _read(self, frame: Mapping[str, Any]) -> Sequence[Incoming]:
        try:
            return self.protocol.receive(frame)
        except ClientError as error:
            self._bad_frames += 1
            return [ev.ClientErrorDetected(error)]

    def _fault(self) -> ClientError | None:
        return client_fault(self.connection, self._outbox, self._bad_frames)
