"""Deepgram's Flux, `/v2/listen`, without a socket: turns of the session become TurnInfo messages.

A turn begins for the client with its first words. Its transcript is all of the turn so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import msgspec

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError
from app.domain.key_terms import key_terms_in
from app.domain.transcript import join
from app.json_input import decode_json
from app.web.deepgram.audio import StreamedAudio
from app.web.deepgram.listen_protocol import ListenReceived
from app.web.deepgram.query import ListenOptions, Query, listen_options, number_between
from app.web.deepgram.results import alternative, in_seconds
from app.web.errors import error_reply

FluxEvent: TypeAlias = Literal["StartOfTurn", "Update", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]


class Thresholds(msgspec.Struct, frozen=True, omit_defaults=True):
    """Probabilities of an end of turn, and the silence that ends one at the latest."""

    eager_eot_threshold: float | None = None
    """None: no eager events."""
    eot_threshold: float = 0.7
    eot_timeout_ms: int = 5000


class FluxControl(msgspec.Struct, frozen=True):
    """A text frame of the client; unknown types are passed over."""

    type: str
    thresholds: dict[str, float] | None = None
    keyterms: list[str] | None = None


_control = msgspec.json.Decoder(FluxControl)


def flux_options(query: Query) -> tuple[ListenOptions, Thresholds]:
    """Raises ClientError that names the parameter."""
    options = listen_options(query)
    hints = query.get("language_hint", ())
    if hints:
        options = replace(options, language=listen_options({"language": hints[:1]}).language)
    thresholds = Thresholds(
        number_between(query, "eager_eot_threshold", 0.3, 0.9),
        number_between(query, "eot_threshold", 0.5, 1.0) or 0.7,
        int(number_between(query, "eot_timeout_ms", 500, 60_000) or 5000),
    )
    return options, thresholds


@dataclass(slots=True)
class FluxProtocol:
    """One connection. `receive_*` and `show` are called in the order in which things happen."""

    request_id: str
    options: ListenOptions
    thresholds: Thresholds
    is_over: bool = False
    bad_frames: int = 0
    _audio: StreamedAudio = field(init=False)
    _position: int = 0
    _sequence: int = 0
    """Number of the next message."""
    _turn: int = 0
    _has_begun: bool = False
    """The client was told of this turn."""
    _is_eager: bool = False
    _window_start: int = 0
    _finals: dict[int, do.ShowFinal] = field(default_factory=dict)
    """Of this turn, by utterance."""
    _speech_start: dict[int, int] = field(default_factory=dict)
    _draft: tuple[int, str] | None = None
    """Utterance and text of the newest draft behind those."""
    _is_forced: bool = False
    """The client ended the turn."""
    _closes: bool = False
    _is_marked: bool = False
    """All that the client sent before it closed the stream has been processed."""
    _open: set[int] = field(default_factory=set)
    """Utterances without a final."""

    def __post_init__(self) -> None:
        options = self.options
        self._audio = StreamedAudio(options.encoding, options.sample_rate, options.channels)

    def greeting(self) -> ListenReceived:
        return ListenReceived([self.options.configuration], [self._message("Connected")])

    def failure(self, error: Exception) -> dict[str, Any] | None:
        """The last message before the server closes for this error."""
        reply = error_reply(error)
        return self._message("Error", code=reply.code.upper(), description=reply.message)

    # -- from the client -------------------------------------------------------

    def receive_audio(self, data: bytes) -> ListenReceived:
        """A binary frame. Raises ClientError for undecodable audio; behind the end of the stream there is none."""
        if self._closes:
            return ListenReceived()
        chunks = self._audio.push(data)
        self._position += sum(chunk.samples for chunk in chunks)
        return ListenReceived([*chunks])

    def receive_text(self, text: str) -> ListenReceived:
        """A text frame."""
        try:
            message = decode_json(text, _control)
        except msgspec.DecodeError:
            self.bad_frames += 1
            return ListenReceived()
        match message.type:
            case "ForceEndTurn":
                self._is_forced = True
                return ListenReceived([*self._flushed(), ev.ClientEnded()])
            case "CloseStream" if not self._closes:
                self._closes = True
                return ListenReceived([*self._flushed(), ev.ClientEnded(), ev.ClientMarked(1)])
            case "Configure":
                return self._configure(message)
            case _:
                return ListenReceived()

    def finish(self) -> list[AudioChunk]:
        """The connection is over."""
        return self._flushed()

    def _configure(self, message: FluxControl) -> ListenReceived:
        wanted = {name: [str(value)] for name, value in (message.thresholds or {}).items()}
        try:
            _, thresholds = flux_options({**_as_query(self.thresholds), **wanted})
            terms = None if message.keyterms is None else key_terms_in("\n".join(message.keyterms))
        except ClientError as error:
            failure = self._message("ConfigureFailure", code="INVALID_CONFIGURATION", description=str(error))
            return ListenReceived(messages=[failure])
        self.thresholds = thresholds
        success = self._message(
            "ConfigureSuccess", thresholds=msgspec.to_builtins(thresholds), keyterms=message.keyterms or []
        )
        return ListenReceived([] if terms is None else [ev.ClientConfigured(key_terms=terms)], [success])

    def _flushed(self) -> list[AudioChunk]:
        chunks = self._audio.flush()
        self._position += sum(chunk.samples for chunk in chunks)
        return chunks

    # -- to the client ---------------------------------------------------------

    def show(self, shown: do.Shown) -> list[dict[str, Any]]:
        """The messages for what the session shows."""
        match shown:
            case do.ShowSpeechStarted(_, number, _, speech_start):
                self._speech_start[number] = speech_start
                self._open.add(number)
                return []
            case do.ShowDraft(_, number, text) if text:
                self._draft = number, text
                return self._updated()
            case do.ShowFinal(hypothesis=hypothesis) as final:
                self._open.discard(final.utterance)
                if self._draft is not None and self._draft[0] <= final.utterance:
                    self._draft = None
                if not hypothesis.text:
                    return self._over()
                self._finals[final.utterance] = final
                return self._updated()
            case do.ShowTurnEager(_, _, probability):
                return self._eager(probability)
            case do.ShowTurnResumed():
                return self._resumed()
            case do.ShowTurnEnd(_, text):
                return self._end(text)
            case do.ShowMark():
                self._is_marked = True
                return self._over()
            case _:
                return []

    def _updated(self) -> list[dict[str, Any]]:
        """The turn's first words begin it for the client; more of them are an update."""
        first = not self._has_begun
        self._has_begun = True
        resumed = self._resumed()
        return [*resumed, self._turn_info("StartOfTurn" if first else "Update", 0.0)]

    def _eager(self, probability: float | None) -> list[dict[str, Any]]:
        threshold = self.thresholds.eager_eot_threshold
        sure = 1.0 if probability is None else probability
        if threshold is None or sure < threshold or not self._has_begun:
            return []
        self._is_eager = True
        return [self._turn_info("EagerEndOfTurn", sure)]

    def _resumed(self) -> list[dict[str, Any]]:
        if not self._is_eager:
            return []
        self._is_eager = False
        return [self._turn_info("TurnResumed", 0.0)]

    def _end(self, text: str) -> list[dict[str, Any]]:
        """The end of a turn with words; of one without them the client was never told."""
        self._draft = None
        messages: list[dict[str, Any]] = []
        if text:
            if not self._has_begun:
                self._has_begun = True
                messages.append(self._turn_info("StartOfTurn", 0.0))
            trigger = "manual" if self._is_forced or self._closes else "model"
            messages.append({**self._turn_info("EndOfTurn", 1.0), "trigger": trigger})
            self._turn += 1
        self._has_begun = self._is_eager = self._is_forced = False
        self._window_start = self._position
        self._finals.clear()
        self._speech_start.clear()
        return [*messages, *self._over()]

    def _over(self) -> list[dict[str, Any]]:
        """Behind the last turn of a stream that the client has closed, there is nothing more to say."""
        if self._is_marked and not self._has_begun and not self._open:
            self.is_over = True
        return []

    def _turn_info(self, event: FluxEvent, confidence: float) -> dict[str, Any]:
        finals = [self._finals[number] for number in sorted(self._finals)]
        words = [word for final in finals for word in _words_of(final)]
        texts = [final.hypothesis.text for final in finals]
        if self._draft is not None:
            number, text = self._draft
            start = self._speech_start.get(number, self._window_start)
            texts.append(text)
            words += alternative(text, (), start, max(start, self._position))["words"]
        window = {"audio_window_start": in_seconds(self._window_start), "audio_window_end": in_seconds(self._position)}
        return self._message(
            "TurnInfo",
            event=event,
            turn_index=self._turn,
            **window,
            transcript=join(texts),
            words=words,
            end_of_turn_confidence=round(confidence, 4),
        )

    def _message(self, kind: str, **fields: Any) -> dict[str, Any]:
        number, self._sequence = self._sequence, self._sequence + 1
        return {"type": kind, "request_id": self.request_id, "sequence_id": number, **fields}


def _words_of(final: do.ShowFinal) -> Sequence[dict[str, Any]]:
    hypothesis = final.hypothesis
    found = alternative(
        hypothesis.text,
        hypothesis.words,
        final.start,
        final.speech_end,
        offset=final.start,
        confidence=hypothesis.confidence,
    )
    words: Sequence[dict[str, Any]] = found["words"]
    return words


def _as_query(thresholds: Thresholds) -> dict[str, list[str]]:
    return {name: [str(value)] for name, value in msgspec.to_builtins(thresholds).items() if value is not None}
