"""Whether what the decoder wrote can have been said."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from zlib import compress

from app.domain.transcript import same_word


class Verdict(StrEnum):
    SANE = "sane"
    LOOP = "loop"
    """The text runs on by repeating itself; what stands before the loop may be right."""

    BROKEN = "broken"
    SILENCE = "silence"
    """Nothing was said."""


@dataclass(frozen=True, slots=True)
class DecodeEvidence:
    """What is known of one decoded text."""

    text: str
    seconds: float
    """How long the sound was."""

    log_probability: float
    """Mean per token."""

    no_speech: float
    """Whisper's own probability that nobody spoke."""

    ran_on: bool = False
    """The decoder was stopped by the limit of tokens and had not come to an end."""


_UNLIKELY = -1.0
_SQUEEZED = 2.4
_WORDS_A_SECOND = 7.0
_NOBODY = 0.6
_LETTERS_A_SECOND = 25
"""More than anyone says; fast talk has twenty."""


def judge(evidence: DecodeEvidence) -> Verdict:
    """Repetition, runaway length, low probability, text where nobody spoke."""
    words = evidence.text.split()
    if not words:
        return Verdict.SILENCE if not evidence.ran_on else Verdict.BROKEN
    if evidence.no_speech > _NOBODY and evidence.log_probability < _UNLIKELY:
        return Verdict.SILENCE
    if loop_start(words) is not None:
        return Verdict.LOOP
    spoken = evidence.text.encode()
    if (
        evidence.ran_on
        or evidence.log_probability < _UNLIKELY
        or len(words) > 3 + _WORDS_A_SECOND * evidence.seconds
        or len(spoken) > _SQUEEZED * len(compress(spoken))
    ):
        return Verdict.BROKEN
    return Verdict.SANE


def loop_start(words: Sequence[str]) -> int | None:
    """Where the second copy begins, if the words end in a repetition; None if they do not.

    Four words or more count as soon as three of them, or half, are said again; fewer
    when they come three times, or twice and nothing else was said.
    """
    count = len(words)
    for period in range(1, count):
        copied = sum(
            1
            for _ in takewhile(lambda i: same_word(words[i], words[i - period]), range(count - 1, period - 1, -1))  # noqa: B023 because it is consumed at once
        )
        first = count - copied
        enough = max(3, period // 2) if period >= 4 else (period if copied + period == count else 2 * period)
        if copied >= enough:
            return first
    return None


def restarts_at(words: Sequence[str]) -> int | None:
    """Where the text begins to say its own beginning again, as a loop does; two words are enough."""
    for copied in range(2, len(words) - 3):
        first = len(words) - copied
        if all(same_word(one, other) for one, other in zip(words, words[first:], strict=False)):
            return first
    return None


def has_zero_duration(starts: Sequence[float], end: float, cut: int) -> bool:
    """True where the words from `cut` on take no time of their own: they were never said.

    `starts` are seconds; `end` is where the last word ends.
    """
    before = (starts[cut] - starts[0]) / max(1, cut)
    after = (end - starts[cut]) / max(1, len(starts) - cut)
    return after < before / 3


def truncate_repetition(text: str, seconds: float) -> str:
    """The text up to where it begins to repeat itself, if nobody can say the whole of it in so many seconds.

    The last word may have been broken off in the middle of the loop.
    """
    words = text.split()
    if len(text) > _LETTERS_A_SECOND * seconds:
        for whole in (words, words[:-1]):
            if (cut := loop_start(whole)) is not None:
                return " ".join(whole[:cut])
    return text
