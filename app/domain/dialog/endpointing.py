"""Where an utterance begins, pauses and ends."""

from dataclasses import dataclass, replace
from enum import Enum, auto

from app.domain.audio import ScoredChunk, ms


class Boundary(Enum):
    """What one more chunk of audio means for the utterance."""

    NONE = auto()
    START = auto()
    """Someone began to speak."""
    PAUSE = auto()
    """They are silent; they may go on."""
    RESUME = auto()
    """They went on."""
    END = auto()
    """They are done with this utterance."""
    SPLIT = auto()
    """They are not done, but the utterance is as long as one may be."""


@dataclass(frozen=True, slots=True)
class EndpointingRules:
    """How much evidence each boundary needs. Times in milliseconds of audio."""

    speech_threshold: float = 0.5
    start_after_ms: int = 90
    """Speech without a gap that begins an utterance: shorter is a click."""
    pause_after_ms: int = 160
    end_after_ms: int = 500
    """Silence that ends an utterance of which nothing else is known."""
    end_after_complete_ms: int = 360
    """The same, when the words so far make a whole sentence."""
    end_after_incomplete_ms: int = 800
    """The same, when the words so far ask for more ("and", "to the")."""
    end_after_likely_done_ms: int = 300
    """The same, when the speaker sounds done."""
    end_of_turn_threshold: float = 0.5
    """From this probability on they do."""
    max_utterance_ms: int = 28_000
    soft_max_utterance_ms: int = 15_000
    """From this length on, the shortest of the silences is enough, and ever less: at the split, none."""


@dataclass(frozen=True, slots=True)
class Endpointer:
    """What was heard so far, as far as it matters for the next boundary."""

    rules: EndpointingRules = EndpointingRules()
    in_speech: bool = False
    paused: bool = False
    run: int = 0
    """Samples of unbroken speech while waiting for it, of unbroken silence inside an utterance."""
    began: int = 0
    """Where the utterance's speech began, in samples of the session."""
    speech_end: int = 0
    """Behind the last sample that was speech."""

    def update(self, scored: ScoredChunk, *, end_after_ms: int) -> tuple["Endpointer", Boundary]:
        """The endpointer after one more chunk, and what the chunk means."""
        chunk = scored.chunk
        if scored.speech >= self.rules.speech_threshold:
            heard = replace(self, run=0 if self.in_speech else self.run + chunk.samples, speech_end=chunk.end)
            return _speech(heard, chunk.end)
        if not self.in_speech:
            return replace(self, run=0), Boundary.NONE
        return _silence(replace(self, run=self.run + chunk.samples), chunk.end, end_after_ms)

    def reset(self) -> "Endpointer":
        """As after an END, whatever was heard."""
        return replace(self, in_speech=False, paused=False, run=0)


def _speech(heard: Endpointer, now: int) -> tuple[Endpointer, Boundary]:
    if not heard.in_speech:
        if heard.run < ms(heard.rules.start_after_ms):
            return heard, Boundary.NONE
        return replace(heard, in_speech=True, paused=False, began=now - heard.run, run=0), Boundary.START
    if now - heard.began >= ms(heard.rules.max_utterance_ms):
        return replace(heard, began=now, paused=False), Boundary.SPLIT
    if heard.paused:
        return replace(heard, paused=False), Boundary.RESUME
    return heard, Boundary.NONE


def _silence(heard: Endpointer, now: int, end_after_ms: int) -> tuple[Endpointer, Boundary]:
    if (length := now - heard.began) >= ms(heard.rules.soft_max_utterance_ms):
        end_after_ms = min(end_after_ms, _enough_ms(length, heard.rules))
    if heard.run >= ms(end_after_ms):
        return heard.reset(), Boundary.END
    if not heard.paused and heard.run >= ms(heard.rules.pause_after_ms):
        return replace(heard, paused=True), Boundary.PAUSE
    return heard, Boundary.NONE


def _enough_ms(length: int, rules: EndpointingRules) -> int:
    """A silence that ends a long utterance, whatever its words: better at a short pause than through a word."""
    hurry, split = ms(rules.soft_max_utterance_ms), ms(rules.max_utterance_ms)
    return max(0, rules.end_after_complete_ms * (split - length) // (split - hurry))


OPEN_ENDINGS = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "so",
        "because",
        "if",
        "when",
        "while",
        "that",
        "which",
        "who",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "with",
        "from",
        "by",
        "as",
        "than",
        "then",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "has",
        "have",
        "had",
        "will",
        "would",
        "can",
        "could",
        "should",
        "my",
        "your",
        "his",
        "her",
        "its",
        "our",
        "their",
        "this",
        "i",
        "we",
        "they",
        "he",
        "she",
        "it's",
        "i'm",
        "um",
        "uh",
        "er",
        "not",
        "very",
        "really",
        "about",
        "into",
        "like",
    ]
)
"""Words an English sentence seldom ends on."""


def endpoint_silence_ms(text: str, done: float | None, rules: EndpointingRules) -> int:
    """How long a silence must last to end an utterance whose words so far are `text`.

    `done` is the probability that its speaker sounded done; None where nobody judged.
    """
    stripped = text.rstrip(" \"'”’)")  # noqa: RUF001 because these are the quotes meant
    whole = stripped.endswith((".", "?", "!")) and not stripped.endswith("...")
    last = stripped.split()[-1].strip(".,;:!?…-").casefold() if stripped else ""
    opened = last in OPEN_ENDINGS or stripped.endswith((",", "-", "…", "..."))
    if is_end_of_turn(done, rules) and (whole or not opened):
        return rules.end_after_likely_done_ms  # "Where have you been?" is a sentence, and sounds like one
    if opened:
        return rules.end_after_incomplete_ms
    return rules.end_after_complete_ms if whole else rules.end_after_ms


def is_end_of_turn(done: float | None, rules: EndpointingRules) -> bool:
    """Whether this probability is enough; nobody's judgement is not."""
    return done is not None and done >= rules.end_of_turn_threshold
