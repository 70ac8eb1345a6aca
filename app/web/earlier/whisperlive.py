"""WhisperLive's protocol: a JSON object that describes the client, float samples, and segments as they become final.

Followed from the sources of whisper_live 0.10: a text frame `{uid, language, task, …}` first; then binary frames of
float32 at 16 kHz (or what `audio_format` names), and `END_OF_AUDIO` as a binary frame. The server says
`SERVER_READY`, the language once, then the newest segments with times as texts; the last one may be open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

import msgspec
import numpy as np

from app.domain.audio import SAMPLE_RATE, seconds
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault
from app.domain.key_terms import key_terms_in
from app.domain.language import parse_languages
from app.domain.turn_mode import TurnMode
from app.json_input import decode_json
from app.media.resampling import Resampler
from app.runtime.dialog.session import Incoming
from app.web.errors import error_reply
from app.web.parley.packets import MAX_PCM_BYTES
from app.web.socket_connection import SocketConnection

END_OF_AUDIO = b"END_OF_AUDIO"
MAX_SEGMENTS = 100
"""Of one message."""

_DTYPES = {"float32": "<f4", "int16": "<i2", "uint8": "u1"}
_encode = msgspec.json.Encoder().encode


class Options(msgspec.Struct, frozen=True):
    """The first frame; what else is in it has no meaning here."""

    uid: str
    language: str | None = None
    task: str = "transcribe"
    send_last_n_segments: int = 10
    hotwords: str | None = None
    audio_format: Literal["float32", "int16", "uint8"] = "float32"


class _Uid(msgspec.Struct):
    uid: str


_options, _uid = msgspec.json.Decoder(Options), msgspec.json.Decoder(_Uid)


def uid_of(text: str) -> str:
    """How the client calls itself, also where its options cannot be read; empty where that is no text."""
    try:
        return decode_json(text, _uid).uid
    except msgspec.DecodeError:
        return ""


def read_options(text: str) -> Options:
    """Raises ClientError."""
    try:
        options: Options = decode_json(text, _options)
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"cannot read the options: {error}", fatal=True) from error
    if options.task != "transcribe":
        raise ClientError(ClientFault.BAD_MESSAGE, "the only task is `transcribe`", fatal=True)
    return options


@dataclass(slots=True, eq=False)
class WhisperLiveConnection(SocketConnection):
    """Its last message is a `status`."""

    uid: str = ""

    def farewell(self, error: Exception) -> bytes:
        """WAIT, with minutes, where a place may become free; else ERROR."""
        reply = error_reply(error)
        is_full = reply.status == HTTPStatus.SERVICE_UNAVAILABLE
        status = {"status": "WAIT", "message": 1} if is_full else {"status": "ERROR", "message": reply.message}
        last: bytes = _encode({"uid": self.uid, **status})
        return last


@dataclass(slots=True)
class WhisperLive:
    """The FrameProtocol."""

    options: Options
    is_over: bool = False
    """Never: behind the end of its audio the client waits for what is said to be sent."""
    _resampler: Resampler = field(default_factory=Resampler)
    _received: int = 0
    """Samples."""
    _starts: dict[int, int] = field(default_factory=dict)
    """Where the speech of each open utterance began."""
    _segments: list[dict[str, Any]] = field(default_factory=list)
    _said_language: bool = False
    _has_ended: bool = False

    def begin(self) -> Sequence[Incoming]:
        """Raises ClientError for a language that does not exist."""
        spoken = parse_languages((self.options.language,)) if self.options.language else None
        terms = key_terms_in(self.options.hotwords or "") or None
        return [ev.ClientConfigured(spoken, reply=False, turns=TurnMode.TRANSCRIBE, events=True, key_terms=terms)]

    def greeting(self) -> Sequence[bytes]:
        """Before it the client sends no audio."""
        return [self._message(message="SERVER_READY", backend="faster_whisper")]

    def receive(self, frame: Mapping[str, Any]) -> Sequence[Incoming]:
        data = frame.get("bytes")
        if data is None or self._has_ended:
            return []
        if data == END_OF_AUDIO:
            self._has_ended = True
            return [*self._resampler.flush(), ev.ClientEnded()]
        pcm = pcm_of(data, self.options.audio_format)
        self._received += len(pcm) // 2
        return self._resampler.push(pcm, SAMPLE_RATE)

    def finish(self) -> Sequence[Incoming]:
        return self._resampler.flush()

    async def messages(self, shown: object) -> Sequence[bytes]:
        match shown:
            case do.ShowSpeechStarted():
                self._starts[shown.utterance] = shown.speech_start
                return []
            case do.ShowDraft(text=text, utterance=utterance):
                start = self._starts.get(utterance, self._received)
                return [self._newest(_segment(start, self._received, text, is_final=False))]
            case do.ShowFinal():
                return self._final(shown)
            case do.ShowTurnEnd() if self._has_ended:
                return [self._message(message="DISCONNECT")]
            case _:
                return []

    def _final(self, shown: do.ShowFinal) -> Sequence[bytes]:
        start = self._starts.pop(shown.utterance, shown.start)
        if not shown.hypothesis.text:
            return []
        segment = _segment(start, shown.speech_end, shown.hypothesis.text, is_final=True)
        self._segments = [*self._segments, segment][-self._kept :]
        language = shown.hypothesis.language
        if language is None or self._said_language:
            return [self._newest()]
        self._said_language = True
        return [self._message(language=language, language_prob=1.0), self._newest()]

    @property
    def _kept(self) -> int:
        return min(max(self.options.send_last_n_segments, 1), MAX_SEGMENTS)

    def _newest(self, *open_: dict[str, Any]) -> bytes:
        return self._message(segments=[*self._segments, *open_][-self._kept :])

    def _message(self, **fields: object) -> bytes:
        encoded: bytes = _encode({"uid": self.options.uid, **fields})
        return encoded


def _segment(start: int, end: int, text: str, *, is_final: bool) -> dict[str, Any]:
    times = {"start": f"{seconds(start):.3f}", "end": f"{seconds(max(start, end)):.3f}"}
    return {**times, "text": text, "completed": is_final}


def pcm_of(data: bytes, form: str) -> bytes:
    """PCM16. Raises ClientError."""
    samples_of = np.dtype(_DTYPES[form])
    if len(data) > MAX_PCM_BYTES or len(data) % samples_of.itemsize:
        raise ClientError(ClientFault.BAD_PACKET, f"{len(data)} bytes are no frame of {form} samples")
    samples = np.frombuffer(data, samples_of)
    if form == "int16":
        return data
    if form == "uint8":
        widened: bytes = ((samples.astype(np.int32) - 128) << 8).astype("<i2").tobytes()
        return widened
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    pcm: bytes = (np.clip(finite, -1.0, 1.0) * 32767).round().astype("<i2").tobytes()
    return pcm
