"""One call: Twilio's messages become the session's input, and what is shown becomes audio for the caller."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError
from app.runtime.dialog.outbox import OutboundMessage, Outbox
from app.runtime.dialog.session import Incoming
from app.web.client_input import FrameRate, client_fault
from app.web.served_session import ClientGone
from app.web.socket_connection import SocketConnection
from app.web.twilio import messages
from app.web.twilio.call_audio import CallInput, ReplyOutput
from app.web.twilio.playback import Playback

MAX_DIGITS = 64
"""Pressed before `#`."""


@dataclass(slots=True)
class CallClient:
    """The session's AdapterClient."""

    connection: SocketConnection
    stream: str
    """Twilio's id of the call's audio."""
    configured: ev.ClientConfigured = field(default_factory=ev.ClientConfigured)
    """What the session begins with."""
    _outbox: Outbox = field(default_factory=Outbox)
    _input: CallInput = field(default_factory=CallInput)
    _output: ReplyOutput = field(default_factory=ReplyOutput)
    _playback: Playback = field(default_factory=Playback)
    _digits: str = ""
    _bad_messages: int = 0
    _rate: FrameRate = field(default_factory=FrameRate)

    async def incoming(self) -> AsyncIterator[Incoming]:
        """Until the call is over."""
        yield self.configured
        async for frame in self._rate.frames(self.connection):
            try:
                event = messages.decode(str(frame.get("text") or ""))
                items = self._read(event)
            except ClientError as error:
                self._bad_messages += 1
                event, items = None, [ev.ClientErrorDetected(error)]
            for item in items:
                yield item
            if isinstance(event, messages.Stopped) or self._fault():
                break
        for chunk in self._input.flush():
            yield chunk

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        self._outbox.put(OutboundMessage(shown, ttfs_ms))
        if self._outbox.overflowed:
            self.connection.give_up()

    def acknowledge(self, samples: int) -> None:
        """Twilio keeps no audio that it could send again."""

    async def write(self) -> None:
        with suppress(ClientGone):  # the reading side notices
            while (outbound := await self.connection.unless_lost(self._outbox.take)) is not None:
                for message in self._messages_for(outbound.shown):
                    await self.connection.send(message)

    async def close_for(self, error: Exception) -> None:
        """Twilio is told nothing; the call goes on with what its instructions say next."""
        await self.connection.close_for(error)

    def raise_for_fault(self) -> None:
        if not self.connection.is_closed and (fault := self._fault()):
            raise fault

    def _fault(self) -> ClientError | None:
        return client_fault(self.connection, self._outbox, self._bad_messages)

    def _read(self, event: messages.Event) -> list[Incoming]:
        """Raises ClientError."""
        match event:
            case messages.Media(audio) if audio.track == "inbound":
                return list(self._input.push(messages.payload(audio), audio.timestamp))
            case messages.Mark(mark) if played := self._playback.returned(mark.name):
                return [ev.ClientPlayed(*played)]
            case messages.Dtmf(key):
                return self._press(key.digit)
            case _:
                return []

    def _press(self, key: str) -> list[Incoming]:
        """`#` sends the digits before it as text, or ends the turn; `*` stops the reply."""
        if key == "*":
            self._digits = ""
            return [ev.ClientCancelled()]
        if key != "#":
            self._digits = (self._digits + key)[:MAX_DIGITS]
            return []
        digits, self._digits = self._digits, ""
        return [ev.ClientSentText(digits) if digits else ev.ClientEnded()]

    def _messages_for(self, shown: object) -> list[bytes]:
        match shown:
            case do.PlayAudio(turn, chunk):
                return self._audio(self._output.push(chunk.pcm), self._playback.sent(turn, chunk.samples))
            case do.ShowReply(turn):
                return self._audio(self._output.flush(), self._playback.ended(turn))
            case do.ShowReplyCancelled() | do.StopPlayback():
                self._output.drop()
                self._playback.drop()
                return [messages.clear(self.stream)]
            case _:
                return []

    def _audio(self, codes: bytes, mark: str | None) -> list[bytes]:
        sound = [messages.media(self.stream, codes)] if codes else []
        return [*sound, messages.mark(self.stream, mark)] if mark else sound
