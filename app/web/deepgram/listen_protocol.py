"""Deepgram's `/v1/listen` without a socket: what a client sends becomes inputs of the session, what it shows Results.

Deterministic: time is the session's audio. Each utterance of the session is a stretch that ends with `speech_final`.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from app.domain.audio import SAMPLE_RATE, AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError
from app.domain.key_terms import key_terms_in
from app.json_input import decode_json
from app.runtime.dialog.session import Incoming
from app.web.deepgram.audio import StreamedAudio
from app.web.deepgram.query import ListenOptions
from app.web.deepgram.results import MODEL, MODEL_UUID, alternative, in_seconds
from app.web.errors import error_reply

MIN_ENDPOINT_MS = 100
"""Silence behind the last speech of an utterance that was ended by it, and not split in the middle of speech."""


class ControlMessage(msgspec.Struct, frozen=True):
    """A text frame of the client; unknown types are passed over."""

    type: str
    keyterms: Annotated[list[str], msgspec.Meta(max_length=200)] | None = None


_control = msgspec.json.Decoder(ControlMessage)


@dataclass(slots=True)
class _Utterance:
    start: int
    """Behind the final before it, in samples of the session."""
    speech_start: int
    has_interim: bool = False
    final: do.ShowFinal | None = None


@dataclass(slots=True)
class _Finalize:
    """A `Finalize` without its answer."""

    position: int
    """Samples of the session before it."""
    newest: int | None = None
    """The newest utterance when all of that was processed; None: it was not yet."""


@dataclass(slots=True)
class ListenReceived:
    """What a frame of the client comes to."""

    inputs: list[Incoming] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class ListenProtocol:
    """One connection. `receive_*` and `show` are called in the order in which things happen."""

    request_id: str
    options: ListenOptions
    created: str
    """ISO 8601, for the metadata."""
    is_over: bool = False
    """The metadata, which come last, have been made."""
    bad_frames: int = 0
    _audio: StreamedAudio = field(init=False)
    _position: int = 0
    """Samples of the session so far."""
    _final_until: int = 0
    _open: dict[int, _Utterance] = field(default_factory=dict)
    """Utterances without a shown final, by number."""
    _marks: int = 0
    _finalizes: dict[int, _Finalize] = field(default_factory=dict)
    """By mark."""
    _closes_at: int | None = None
    """The mark behind which the stream is over."""
    _last_word_end: float | None = None
    """Of the newest final with words, until it was told as the end of an utterance."""

    def __post_init__(self) -> None:
        options = self.options
        self._audio = StreamedAudio(options.encoding, options.sample_rate, options.channels)

    def greeting(self) -> ListenReceived:
        """What the session is set up with; the client is told nothing yet."""
        return ListenReceived([self.options.configuration])

    def failure(self, error: Exception) -> dict[str, Any] | None:
        """The last message before the server closes for this error."""
        reply = error_reply(error)
        return {"type": "Error", "variant": reply.code, "description": reply.message, "message": reply.message}

    # -- from the client -------------------------------------------------------

    def receive_audio(self, data: bytes) -> ListenReceived:
        """A binary frame; an empty one ends the stream, as old clients do. Raises ClientError for undecodable audio.

        What comes behind the end of the stream is not transcribed.
        """
        if not data or self._closes_at is not None:
            return self._close()
        chunks = self._audio.push(data)
        self._position += sum(chunk.samples for chunk in chunks)
        return ListenReceived([*chunks], self._utterance_end())

    def receive_text(self, text: str) -> ListenReceived:
        """A text frame."""
        try:
            message = decode_json(text, _control)
        except msgspec.DecodeError:
            self.bad_frames += 1
            return ListenReceived()
        match message.type:
            case "Finalize":
                mark, rest = self._next_mark(), self._flushed()
                self._finalizes[mark] = _Finalize(self._position)
                return ListenReceived([*rest, ev.ClientEnded(), ev.ClientMarked(mark)])
            case "CloseStream":
                return self._close()
            case "Configure":
                return self._configure(message.keyterms)
            case _:
                return ListenReceived()

    def finish(self) -> list[AudioChunk]:
        """The connection is over."""
        return self._flushed()

    def _close(self) -> ListenReceived:
        if self._closes_at is not None:
            return ListenReceived()
        self._closes_at = self._next_mark()
        return ListenReceived([*self._flushed(), ev.ClientEnded(), ev.ClientMarked(self._closes_at)])

    def _configure(self, keyterms: list[str] | None) -> ListenReceived:
        answer: dict[str, Any] = {"type": "ConfigureSuccess", "request_id": self.request_id}
        if keyterms is None:
            return ListenReceived(messages=[answer])
        try:
            terms = key_terms_in("\n".join(keyterms))
        except ClientError as error:
            failure = {"type": "ConfigureFailure", "code": "INVALID_KEYTERMS", "description": str(error)}
            return ListenReceived(messages=[{**answer, **failure}])
        return ListenReceived([ev.ClientConfigured(key_terms=terms)], [{**answer, "keyterms": keyterms}])

    def _flushed(self) -> list[AudioChunk]:
        chunks = self._audio.flush()
        self._position += sum(chunk.samples for chunk in chunks)
        return chunks

    def _next_mark(self) -> int:
        self._marks += 1
        return self._marks

    # -- to the client ---------------------------------------------------------

    def show(self, shown: do.Shown) -> list[dict[str, Any]]:
        """The messages for what the session shows."""
        match shown:
            case do.ShowSpeechStarted(_, number, start, speech_start):
                self._open[number] = _Utterance(max(start, self._final_until), speech_start)
                if self.options.vad_events:
                    return [{"type": "SpeechStarted", "channel": [0, 1], "timestamp": in_seconds(speech_start)}]
                return []
            case do.ShowDraft(_, number, text):
                return self._interim(number, text)
            case do.ShowFinal():
                return self._accept_final(shown)
            case do.ShowMark(mark):
                return self._accept_mark(mark)
            case _:
                return []

    def _interim(self, number: int, text: str) -> list[dict[str, Any]]:
        """Of the oldest open utterance alone: a later one's would come before the final of this one."""
        if not self.options.interim_results or not text or number != min(self._open, default=None):
            return []
        utterance = self._open[number]
        utterance.has_interim = True
        heading = alternative(text, (), utterance.speech_start, max(self._position, utterance.speech_start))
        return [self._results(heading, utterance.start, self._position, is_final=False)]

    def _accept_final(self, shown: do.ShowFinal) -> list[dict[str, Any]]:
        utterance = self._open.setdefault(shown.utterance, _Utterance(max(shown.start, self._final_until), shown.start))
        utterance.final = shown
        messages = []
        while self._open and (oldest := self._open[min(self._open)]).final is not None:
            number = min(self._open)
            del self._open[number]
            messages += self._final(number, oldest, oldest.final)
        return [*messages, *self._metadata()]

    def _final(self, number: int, utterance: _Utterance, final: do.ShowFinal) -> list[dict[str, Any]]:
        """One Results; none for an utterance without words of which the client knows nothing."""
        hypothesis = final.hypothesis
        finalizes = [
            mark for mark, each in self._finalizes.items() if each.newest is not None and each.newest <= number
        ]
        if not hypothesis.text and not utterance.has_interim and not finalizes:
            return []
        found = alternative(
            hypothesis.text,
            hypothesis.words,
            utterance.speech_start,
            final.speech_end,
            offset=final.start,
            confidence=hypothesis.confidence,
        )
        if self.options.tells_language and hypothesis.language:
            found["languages"] = [hypothesis.language]
        if found["words"]:
            self._last_word_end = found["words"][-1]["end"]
        self._final_until = max(final.end, self._final_until)
        for mark in finalizes:
            del self._finalizes[mark]
        is_endpoint = bool(finalizes) or final.end - final.speech_end >= ms(MIN_ENDPOINT_MS)
        message = self._results(
            found, utterance.start, final.end, is_final=True, speech_final=is_endpoint, from_finalize=bool(finalizes)
        )
        if route := final.route:
            message["x_route"] = {"name": route.name, "place": route.place}
        return [message, *(self._empty_final(self._final_until) for _ in finalizes[1:])]

    def _accept_mark(self, mark: int) -> list[dict[str, Any]]:
        """All audio before the mark has been processed: what is open now is what its Finalize waits for."""
        if finalize := self._finalizes.get(mark):
            if not self._open:
                del self._finalizes[mark]
                return [self._empty_final(finalize.position)]
            finalize.newest = max(self._open)
            return []
        if mark == self._closes_at:
            self._closes_at = 0
        return self._metadata()

    def _empty_final(self, end: int) -> dict[str, Any]:
        """Up to this sample: the audio behind it may be that of an utterance."""
        nothing = alternative("", (), end, end)
        start, self._final_until = self._final_until, max(self._final_until, end)
        return self._results(nothing, start, self._final_until, is_final=True, speech_final=True, from_finalize=True)

    def _utterance_end(self) -> list[dict[str, Any]]:
        """Behind so much audio since the last word, where nobody speaks."""
        after = self.options.utterance_end_ms
        if after is None or self._last_word_end is None or self._open:
            return []
        if self._position - self._last_word_end * SAMPLE_RATE < ms(after):
            return []
        end, self._last_word_end = self._last_word_end, None
        return [{"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": end}]

    def _metadata(self) -> list[dict[str, Any]]:
        """Last, once; the stream is over behind it."""
        if self._closes_at != 0 or self._open or self.is_over:
            return []
        self.is_over = True
        return [
            {
                "type": "Metadata",
                "transaction_key": "deprecated",
                "request_id": self.request_id,
                "sha256": "",
                "created": self.created,
                "duration": in_seconds(self._position),
                "channels": 1,
            }
        ]

    def _results(
        self,
        found: dict[str, Any],
        start: int,
        end: int,
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> dict[str, Any]:
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": in_seconds(start),
            "duration": in_seconds(max(0, end - start)),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [found]},
            "metadata": {"request_id": self.request_id, "model_uuid": MODEL_UUID, "model_info": MODEL},
        }
