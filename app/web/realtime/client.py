"""A Realtime client on its WebSocket: the AdapterClient around `protocol.py`."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import msgspec

from app.domain.dialog import effects as do
from app.domain.errors import ClientError
from app.runtime.dialog.outbox import EncodedMessage, OutboundMessage, Outbox
from app.runtime.dialog.session import Incoming
from app.web.client_input import FrameRate, client_fault
from app.web.realtime.errors import failure
from app.web.realtime.protocol import RealtimeProtocol
from app.web.realtime.response import Event
from app.web.served_session import ClientGone
from app.web.socket_connection import SocketConnection

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True, eq=False)
class RealtimeConnection(SocketConnection):
    """Its last message is an `error` event."""

    def farewell(self, error: Exception) -> bytes:
        return _encode({"type": "error", "event_id": "event_last", "error": failure(error)})


@dataclass(slots=True)
class RealtimeClient:
    """The session's AdapterClient. What the server says is queued in the order in which it happens."""

    connection: RealtimeConnection
    protocol: RealtimeProtocol
    _outbox: Outbox = field(default_factory=Outbox)
    _rate: FrameRate = field(default_factory=FrameRate)

    async def incoming(self) -> AsyncIterator[Incoming]:
        """The session's configuration, then what the client sends, until it is gone."""
        greeting = self.protocol.greeting()
        self._put(greeting.events)
        for item in greeting.inputs:
            yield item
        async with aclosing(self._rate.frames(self.connection)) as frames:
            async for frame in frames:
                text = frame.get("text")
                received = self.protocol.receive(text if isinstance(text, str) else "")
                self._put(received.events)
                for item in received.inputs:
                    yield item
                if self._fault():
                    break
        for chunk in self.protocol.finish():
            yield chunk

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:  # noqa: ARG002 because no event has it
        events = self.protocol.show(shown)
        if isinstance(shown, do.ShowReplyCancelled | do.StopPlayback):
            self._outbox.drop_audio(shown.turn)
        self._put(events, shown.turn if isinstance(shown, do.PlayAudio) else None)

    def acknowledge(self, samples: int) -> None:
        """No event says it."""

    async def write(self) -> None:
        with suppress(ClientGone):  # the reading side notices, and knows why
            while (message := await self.connection.unless_lost(self._outbox.take)) is not None:
                assert isinstance(message.shown, EncodedMessage)
                await self.connection.send(message.shown.data)

    def raise_for_fault(self) -> None:
        """Raises ClientError where the session ended through the client's fault, and the socket is still open."""
        if not self.connection.is_closed and (fault := self._fault()):
            raise fault

    async def close_for(self, error: Exception) -> None:
        await self.connection.close_for(error)

    def _put(self, events: list[Event], turn: int | None = None) -> None:
        for event in events:
            is_audio = event["type"] == "response.output_audio.delta"
            self._outbox.put(OutboundMessage(EncodedMessage(_encode(event), turn if is_audio else None)))
        if self._outbox.overflowed:
            self.connection.give_up()

    def _fault(self) -> ClientError | None:
        return client_fault(self.connection, self._outbox, self.protocol.bad_events)
