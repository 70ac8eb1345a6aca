"""Endpointing: where an utterance begins, pauses and ends, from speech probabilities and silence."""

from dataclasses import dataclass, replace
from enum import Enum, auto

from app.domain.audio import ScoredChunk, ms
from app.domain.dialog.completeness import is_complete, is_dictation, is_incomplete
from app.domain.dialog.speaker_pace import SpeakerPace


class Boundary(Enum):
    """What one more chunk of audio means for the utterance."""

    NONE = auto()
    START = auto()
    """Speech began."""
    PAUSE = auto()
    """A short silence; speech may resume."""
    RESUME = auto()
    """Speech resumed after a pause."""
    END = auto()
    """The silence is long enough: the utterance is over."""
    SPLIT = auto()
    """Speech continues, but the utterance has reached its maximum length: it ends, and another begins."""


@dataclass(frozen=True, slots=True)
class EndpointingRules:
    """How much evidence each boundary needs. Times in milliseconds of audio."""

    speech_threshold: float = 0.5
    """Speech probability from which a chunk counts as speech."""
    start_after_ms: int = 90
    """Unbroken speech that begins an utterance: a click is shorter."""
    pause_after_ms: int = 160
    """Silence inside an utterance that counts as a pause: finals may be started, and the end of turn scored."""
    end_after_ms: int = 500
    """Silence that ends an utterance about which nothing else is known."""
    end_after_complete_ms: int = 360
    """The same, where the words so far are a complete sentence."""
    end_after_incomplete_ms: int = 800
    """The same, where the words so far ask for more ("and", "to the")."""
    end_after_likely_done_ms: int = 300
    """The same, where the end-of-turn probability is at least `end_of_turn_threshold`."""
    end_of_turn_threshold: float = 0.5
    max_utterance_ms: int = 28_000
    """Length at which an utterance is split, in mid-speech: engines take no more than 30 s at once."""
    soft_max_utterance_ms: int = 15_000
    """Length from which ever shorter silences end the utterance; at `max_utterance_ms` any silence does."""

    def with_silences(self, end_after_ms: int, likely_done_ms: int) -> "EndpointingRules":
        """The rules with this silence where nothing else is known.

        It is an eighth less after a sentence, half more after "and", and never more than after a sentence where the
        speaker is likely done.
        """
        complete = end_after_ms * 7 // 8
        return replace(
            self,
            end_after_ms=end_after_ms,
            end_after_complete_ms=complete,
            end_after_incomplete_ms=end_after_ms * 3 // 2,
            end_after_likely_done_ms=min(likely_done_ms, complete),
        )


@dataclass(frozen=True, slots=True)
class Endpointer:
    """The endpointer's state after the chunks so far. Positions and lengths in samples."""

    rules: EndpointingRules = EndpointingRules()
    in_speech: bool = False
    """Inside an utterance, pauses included."""
    paused: bool = False
    run: int = 0
    """Length of unbroken speech before an utterance, of unbroken silence inside one."""
    speech_start: int = 0
    """Where the utterance's speech began, in samples of the session."""
    speech_end: int = 0
    """Behind the last sample that was speech."""

    def update(self, scored: ScoredChunk, *, end_after_ms: int) -> tuple["Endpointer", Boundary]:
        """The endpointer after one more chunk, and what the chunk means; `end_after_ms` of silence is the end."""
        chunk = scored.chunk
        if scored.speech >= self.rules.speech_threshold:
            run = 0 if self.in_speech else self.run + chunk.samples
            return _after_speech(replace(self, run=run, speech_end=chunk.end), chunk.end)
        if not self.in_speech:
            return replace(self, run=0), Boundary.NONE
        return _after_silence(replace(self, run=self.run + chunk.samples), chunk.end, end_after_ms)

    def reset(self) -> "Endpointer":
        """The endpointer outside of any utterance, as after an END."""
        return replace(self, in_speech=False, paused=False, run=0)


def _after_speech(updated: Endpointer, now: int) -> tuple[Endpointer, Boundary]:
    if not updated.in_speech:
        if updated.run < ms(updated.rules.start_after_ms):
            return updated, Boundary.NONE
        started = replace(updated, in_speech=True, paused=False, speech_start=now - updated.run, run=0)
        return started, Boundary.START
    if now - updated.speech_start >= ms(updated.rules.max_utterance_ms):
        return replace(updated, speech_start=now, paused=False), Boundary.SPLIT
    if updated.paused:
        return replace(updated, paused=False), Boundary.RESUME
    return updated, Boundary.NONE


def _after_silence(updated: Endpointer, now: int, end_after_ms: int) -> tuple[Endpointer, Boundary]:
    if (length := now - updated.speech_start) >= ms(updated.rules.soft_max_utterance_ms):
        end_after_ms = min(end_after_ms, _long_utterance_silence_ms(length, updated.rules))
    if updated.run >= ms(end_after_ms):
        return updated.reset(), Boundary.END
    if not updated.paused and updated.run >= ms(updated.rules.pause_after_ms):
        return replace(updated, paused=True), Boundary.PAUSE
    return updated, Boundary.NONE


def _long_utterance_silence_ms(length: int, rules: EndpointingRules) -> int:
    """The silence that ends an utterance of this length, whatever its words: better a short pause than a split word."""
    soft, hard = ms(rules.soft_max_utterance_ms), ms(rules.max_utterance_ms)
    return max(0, rules.end_after_complete_ms * (hard - length) // (hard - soft))


def endpoint_silence_ms(
    text: str,
    language: str | None,
    eot_probability: float | None,
    rules: EndpointingRules,
    speaker: SpeakerPace | None = None,
) -> int:
    """How long a silence must last, in ms, to end an utterance whose words so far are `text`.

    `eot_probability` is the turn detector's score of the current pause; None where there is none. `speaker`: who is
    waited for; None: nobody in particular. Whoever dictates is waited for as long as is configured.
    """
    likely_done = (
        rules.end_after_likely_done_ms if speaker is None else speaker.likely_done_ms(rules.end_after_likely_done_ms)
    )
    if is_likely_done(text, language, eot_probability, rules):
        return likely_done
    if is_dictation(text, language):
        return rules.end_after_incomplete_ms
    if is_incomplete(text, language):
        configured = rules.end_after_incomplete_ms
    else:
        configured = rules.end_after_complete_ms if is_complete(text) else rules.end_after_ms
    return configured if speaker is None else max(likely_done, speaker.unlikely_done_ms(configured))


def is_likely_done(text: str, language: str | None, eot_probability: float | None, rules: EndpointingRules) -> bool:
    """Whether the score says that the turn is over, and the words do not ask for more."""
    if not is_end_of_turn(eot_probability, rules):
        return False
    return is_complete(text) or not _asks_for_more(text, language)  # "Where have you been?" ends on "been"


def _asks_for_more(text: str, language: str | None) -> bool:
    return is_incomplete(text, language) or is_dictation(text, language)


def is_end_of_turn(eot_probability: float | None, rules: EndpointingRules) -> bool:
    """Whether the score says that the user's turn is over; no score says nothing."""
    return eot_probability is not None and eot_probability >= rules.end_of_turn_threshold
