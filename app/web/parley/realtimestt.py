"""The page of RealtimeSTT's FastAPI server on `/ws/transcribe`: Parley's packets, with other messages around them.

Followed from `example_fastapi_server` of RealtimeSTT 1.1: commands are `start`, `stop`, `clear`, `ping` and `metrics`;
the server says `hello`, `ready`, `status`, `timeline`, `realtime`, `final`, `clear`, `pong`, `metrics` and `error`. A
client is such a page from its first command that Parley's protocol does not have; then it gets these messages alone.
One that waits for `hello` says who it is in its address, `?client=realtimestt`, and gets them from the beginning.
"""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.domain.errors import ClientFault
from app.json_input import decode_json
from app.web.errors import error_reply
from app.web.parley.connection import Connection
from app.web.served_session import ClientGone

NAME = "realtimestt"
"""`?client=realtimestt`."""
COMMANDS = frozenset({"start", "stop", "ping", "metrics"})
CLEAR = "clear"
"""Of both protocols, hence no sign of either."""

_CONFIGURE = '{"type": "configure", "turns": "transcribe", "events": true}'
_ORDERS = {"stop": '{"type": "end"}', CLEAR: '{"type": "clear"}'}
_SETTINGS = {"transcription_engine": "parley", "wake_word_enabled": False}
_PLACES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            ClientFault.BAD_PACKET,
            ClientFault.BAD_METADATA,
            ClientFault.BAD_SAMPLE_RATE,
            ClientFault.ODD_PCM,
            ClientFault.FRAME_TOO_LARGE,
        ),
        "audio_packet",
    ),
    **dict.fromkeys((ClientFault.BAD_MESSAGE, ClientFault.UNKNOWN_MESSAGE), "command"),
}
"""What was wrong, by our code for it; `session` for all others."""

_encode = msgspec.json.Encoder().encode
_message = msgspec.json.Decoder(dict[str, Any])


class _Command(msgspec.Struct):
    type: str


_command = msgspec.json.Decoder(_Command)


@dataclass(slots=True)
class RealtimeSttPage:
    """What such a page is told. Pure, except for what it remembers of the segments that it has shown."""

    session: str
    newest: int = 0
    """Number of the newest segment, which is an utterance."""
    cleared: int = 0
    """Segments up to this one are not shown any more."""
    _drafted: set[int] = field(default_factory=set)
    """Segments that are shown and not final."""

    def greeting(self) -> list[dict[str, Any]]:
        about = {"sessionId": self.session, "settings": _SETTINGS, "limits": {}}
        return [{"type": "hello", "clientId": self.session, **about}, {"type": "ready", "ok": True, **about}]

    def answers(self, command: str, at_s: float) -> list[dict[str, Any]]:
        """To a command that came at this time, in seconds since 1970."""
        match command:
            case "start":
                return [self._status("listening")]
            case "stop":
                return [self._status("idle")]
            case "clear":
                self.cleared = self.newest
                self._drafted.clear()
                return [self._of("clear", nextSegmentId=self.newest + 1)]
            case "ping":
                return [self._of("pong", serverTime=at_s)]
            case _:
                return [self._of("metrics", metrics={"currentSegmentId": self.newest})]

    def messages(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a message of Parley's protocol is for the page."""
        segment = message.get("utterance", 0)
        self.newest = max(self.newest, segment)
        match message["type"]:
            case "session":
                self.session = message["id"]
                return self.greeting()
            case "error":
                return [self.error(message["code"], message["message"])]
            case _ if segment <= self.cleared:
                return []
            case "speechStarted":
                return [self._status("recording"), self._timeline("recording_started", segment)]
            case "speechStopped":
                return [self._status("transcribing"), self._timeline("recording_ended", segment)]
            case "realtime":
                self._drafted.add(segment)
                return [self._draft(segment, message["text"], message["stable"])]
            case "fullSentence":
                return self._final(segment, message)
            case _:
                return []

    def error(self, code: str, sentence: str) -> dict[str, Any]:
        return self._of("error", where=_PLACES.get(code, "session"), message=sentence, code=code)

    def _draft(self, segment: int, text: str, stable: str) -> dict[str, Any]:
        unstable = text[len(stable) :]
        stable_texts = {"stableText": stable, "committedStableText": stable}
        other_texts = {"displayText": text, "rawText": text, "unstableText": unstable, "visualUnstableText": unstable}
        return self._of("realtime", segmentId=segment, text=text, **stable_texts, **other_texts)

    def _final(self, segment: int, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Without words in it, it is sent only where it takes back a draft."""
        is_shown = segment in self._drafted
        self._drafted.discard(segment)
        waits = self._status("listening")
        if not message["text"] and not is_shown:
            return [waits]
        about = {"segmentId": segment, "durationSeconds": round(message["end"] - message["start"], 3)}
        return [self._of("final", segmentId=segment, text=message["text"], segment=about), waits]

    def _timeline(self, event: str, segment: int) -> dict[str, Any]:
        return self._of("timeline", event=event, segmentId=segment)

    def _status(self, state: str) -> dict[str, Any]:
        return self._of("status", state=state, queueDepth=0, wakeWordEnabled=False)

    def _of(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, "sessionId": self.session, **fields}


@dataclass(slots=True, eq=False)
class RealtimeSttConnection(Connection):
    """A connection of Parley's protocol, until its client turns out to be such a page."""

    page: RealtimeSttPage | None = None
    """Given where the client has said so in its address."""

    async def frames(self) -> AsyncGenerator[dict[str, Any], None]:
        """As messages of Parley's protocol. `super()` is not used, because a class with slots is made anew."""
        if self.page is not None:
            yield {"text": _CONFIGURE}
        async with aclosing(Connection.frames(self)) as frames:
            async for frame in frames:
                command = _command_of(frame)
                if command in COMMANDS and self.page is None:
                    self.page = RealtimeSttPage(self.session)
                    await self._say(self.page.greeting())
                    yield {"text": _CONFIGURE}
                if self.page is None or command not in COMMANDS | {CLEAR}:
                    yield frame
                    continue
                await self._say(self.page.answers(command, time.time()))
                if command in _ORDERS:
                    yield {"text": _ORDERS[command]}

    async def send(self, frame: bytes, *, text: bool = True) -> None:
        """A message of Parley's protocol, in the words of the client. Raises ClientGone."""
        if self.page is None:
            await Connection.send(self, frame, text=text)
        elif text:  # the page knows no binary frame
            for message in self.page.messages(_message.decode(frame)):
                await Connection.send(self, _encode(message))

    def farewell(self, error: Exception) -> bytes:
        if self.page is None:
            return Connection.farewell(self, error)
        reply = error_reply(error)
        last: bytes = _encode(self.page.error(reply.code, reply.message))
        return last

    async def _say(self, messages: list[dict[str, Any]]) -> None:
        with suppress(ClientGone):  # the next frame says so
            for message in messages:
                await Connection.send(self, _encode(message))


def _command_of(frame: Mapping[str, Any]) -> str:
    """The type of a message; empty for audio, and for what cannot be read."""
    text = frame.get("text")
    if not isinstance(text, str):
        return ""
    try:
        return decode_json(text, _command).type
    except msgspec.DecodeError:
        return ""
