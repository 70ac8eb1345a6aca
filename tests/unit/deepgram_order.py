"""What is a legal order of server messages on Deepgram's `/v1/listen` and Flux; used on whatever a stream has sent."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.web.deepgram.flux_protocol import Thresholds
from app.web.deepgram.query import ListenOptions


@dataclass
class ListenOrder:
    """Takes one message after the other; an assertion fails at the first that may not come there."""

    options: ListenOptions
    finalizes: int = 0
    """Sent by the client."""
    configures: int = 0
    is_closing: bool = False
    """The client has sent CloseStream."""
    is_over: bool = False
    from_finalize: int = 0
    configured: int = 0
    final_end: float = 0.0
    """Behind the newest final, in seconds."""
    speech: float = -1.0
    last_word_end: float | None = None
    """Of the newest final with words, while its utterance's end may still be told."""

    def take_all(self, messages: Iterable[dict]) -> None:
        for message in messages:
            self.take(message)

    def take(self, message: dict) -> None:
        assert not self.is_over, message
        match message["type"]:
            case "Results" if message["is_final"]:
                self._final(message)
            case "Results":
                assert self.options.interim_results
                assert not message["speech_final"]
                assert not message["from_finalize"]
                assert message["channel"]["alternatives"][0]["transcript"]
                assert message["start"] >= self.final_end - 0.002, message
            case "SpeechStarted":
                assert self.options.vad_events
                assert message["timestamp"] > self.speech
                self.speech = message["timestamp"]
            case "UtteranceEnd":
                assert self.options.utterance_end_ms is not None
                assert message["last_word_end"] == self.last_word_end
                self.last_word_end = None
            case "ConfigureSuccess" | "ConfigureFailure":
                self.configured += 1
                assert self.configured <= self.configures
            case _:
                assert message["type"] == "Metadata", message
                assert self.is_closing
                self.is_over = True

    def _final(self, message: dict) -> None:
        found = message["channel"]["alternatives"][0]
        assert message["start"] >= self.final_end - 0.002, message  # two roundings
        assert message["duration"] >= 0
        self.final_end = max(self.final_end, message["start"] + message["duration"])
        if message["from_finalize"]:
            assert message["speech_final"]
            self.from_finalize += 1
            assert self.from_finalize <= self.finalizes
        starts = [word["start"] for word in found["words"]]
        assert starts == sorted(starts)
        assert len(found["words"]) == len(found["transcript"].split())
        if found["words"]:
            self.last_word_end = found["words"][-1]["end"]


@dataclass
class FluxOrder:
    """The same for Flux: a turn starts, is updated, perhaps eager and resumed, and ends as it was eager."""

    thresholds: Thresholds
    configures: int = 0
    is_ended_by_client: bool = False
    """It has sent ForceEndTurn or CloseStream."""
    messages: int = 0
    configured: int = 0
    turn: int = 0
    has_begun: bool = False
    eager: str | None = None
    ends: list[str] = field(default_factory=list)

    def take_all(self, messages: Iterable[dict]) -> None:
        for message in messages:
            self.take(message)

    def take(self, message: dict) -> None:
        assert message["sequence_id"] == self.messages
        assert (message["type"] == "Connected") == (self.messages == 0)
        self.messages += 1
        match message["type"]:
            case "Connected":
                pass
            case "ConfigureSuccess" | "ConfigureFailure":
                self.configured += 1
                assert self.configured <= self.configures
            case _:
                assert message["type"] == "TurnInfo", message
                self._turn(message)

    def _turn(self, message: dict) -> None:
        event, text = message["event"], message["transcript"]
        assert message["turn_index"] == self.turn
        assert message["audio_window_start"] <= message["audio_window_end"]
        assert self.has_begun == (event != "StartOfTurn"), message
        assert len(message["words"]) == len(text.split())
        self.has_begun = True
        match event:
            case "StartOfTurn" | "Update":
                assert self.eager is None
            case "EagerEndOfTurn":
                assert self.eager is None
                assert self.thresholds.eager_eot_threshold is not None
                assert text
                self.eager = text
            case "TurnResumed":
                assert self.eager is not None
                self.eager = None
            case _:
                assert event == "EndOfTurn", message
                assert text
                assert self.eager in (None, text)
                assert message["trigger"] == "model" or self.is_ended_by_client
                self.has_begun, self.eager, self.turn = False, None, self.turn + 1
                self.ends.append(text)
