"""One call: Twilio's messages become the session's input, and what is shown becomes audio for the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.runtime.dialog.session import Incoming
from app.web.twilio import messages
from app.web.twilio.call_audio import CallInput, ReplyOutput
from app.web.twilio.playback import Playback

MAX_DIGITS = 64
"""Pressed before `#`."""


@dataclass(slots=True)
class CallProtocol:
    """The FrameProtocol of one call."""

    stream: str
    """Twilio's id of the call's audio."""
    configured: ev.ClientConfigured = field(default_factory=ev.ClientConfigured)
    """What the session begins with."""
    is_over: bool = False
    _input: CallInput = field(default_factory=CallInput)
    _output: ReplyOutput = field(default_factory=ReplyOutput)
    _playback: Playback = field(default_factory=Playback)
    _digits: str = ""

    def begin(self) -> Sequence[Incoming]:
        return [self.configured]

    def greeting(self) -> Sequence[bytes]:
        return []

    def receive(self, frame: Mapping[str, Any]) -> Sequence[Incoming]:
        """Raises ClientError."""
        match messages.decode(str(frame.get("text") or "")):
            case messages.Media(audio) if audio.track == "inbound":
                return self._input.push(messages.payload(audio), audio.timestamp)
            case messages.Mark(mark) if played := self._playback.returned(mark.name):
                return [ev.ClientPlayed(*played)]
            case messages.Dtmf(key):
                return self._press(key.digit)
            case messages.Stopped():
                self.is_over = True
                return []
            case _:
                return []

    def finish(self) -> Sequence[Incoming]:
        return self._input.flush()

    async def messages(self, shown: object) -> Sequence[bytes]:
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

    def _press(self, key: str) -> Sequence[Incoming]:
        """`#` sends the digits before it as text, or ends the turn; `*` stops the reply."""
        if key == "*":
            self._digits = ""
            return [ev.ClientCancelled()]
        if key != "#":
            self._digits = (self._digits + key)[:MAX_DIGITS]
            return []
        digits, self._digits = self._digits, ""
        return [ev.ClientSentText(digits) if digits else ev.ClientEnded()]

    def _audio(self, codes: bytes, mark: str | None) -> list[bytes]:
        sound = [messages.media(self.stream, codes)] if codes else []
        return [*sound, messages.mark(self.stream, mark)] if mark else sound
