"""Whether a decoded text can have been spoken, or is one of Whisper's hallucinations. Pure.

The thresholds of log-probability, compression and no-speech probability are Whisper's own (`transcribe()` in
openai/whisper, section 4.5 of Radford et al. 2022); repetition and word rate are checked besides, because an encoder
context shorter than thirty seconds makes the decoder repeat itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from zlib import compress

from app.domain.transcript import same_word


class Verdict(StrEnum):
    OK = "ok"
    LOOP = "loop"
    """The text ends in a repetition of itself; what stands before the repetition may be right."""

    BROKEN = "broken"
    """Improbable, too long for its audio, or cut off by the token limit."""

    SILENCE = "silence"
    """Nobody speaks."""


@dataclass(frozen=True, slots=True)
class DecodeEvidence:
    """One decoded text, and what is known about it."""

    text: str
    audio_s: float
    avg_logprob: float
    """Mean log-probability per token."""

    no_speech_prob: float
    hit_token_limit: bool = False
    """The decoder was stopped before the end of the text."""


_MIN_AVG_LOGPROB = -1.0
_MAX_COMPRESSION_RATIO = 2.4
MAX_NO_SPEECH_PROB = 0.6
_MAX_WORDS_PER_S = 7.0
_EXTRA_WORDS = 3
_MAX_CHARACTERS_PER_S = 25
"""Fast speech has twenty."""

_MIN_REPEATED_WORDS = 3
_CLAUSE_WORDS = 4

_ALIGNMENT_STEP_S = 0.02
"""Resolution of Whisper's word times."""


def assess(evidence: DecodeEvidence) -> Verdict:
    """Checks repetition, length, probability, and text where nobody speaks."""
    words = evidence.text.split()
    if not words:
        return Verdict.BROKEN if evidence.hit_token_limit else Verdict.SILENCE
    if evidence.no_speech_prob > MAX_NO_SPEECH_PROB and evidence.avg_logprob < _MIN_AVG_LOGPROB:
        return Verdict.SILENCE
    if loop_start(words) is not None:
        return Verdict.LOOP
    text = evidence.text.encode()
    if (
        evidence.hit_token_limit
        or evidence.avg_logprob < _MIN_AVG_LOGPROB
        or len(words) > _EXTRA_WORDS + _MAX_WORDS_PER_S * evidence.audio_s
        or len(text) > _MAX_COMPRESSION_RATIO * len(compress(text))
    ):
        return Verdict.BROKEN
    return Verdict.OK


def loop_start(words: Sequence[str]) -> int | None:
    """Index of the second copy, if the words end in a repetition; None if they do not.

    A period of four words or more counts as soon as three of them, or half, are repeated; a shorter one when it comes
    three times, or twice and there is nothing else.
    """
    count = len(words)
    for period in range(1, count):
        copied = sum(
            1
            for _ in takewhile(lambda i: same_word(words[i], words[i - period]), range(count - 1, period - 1, -1))  # noqa: B023 because it is consumed at once
        )
        if period >= _CLAUSE_WORDS:
            enough = max(_MIN_REPEATED_WORDS, period // 2)
        else:
            enough = period if copied + period == count else 2 * period
        if copied >= enough:
            return count - copied
    return None


def restarts_at(words: Sequence[str]) -> int | None:
    """Index where the text begins to repeat its own beginning, as a loop does; two words are enough."""
    for copied in range(2, len(words) - 3):
        first = len(words) - copied
        if all(same_word(one, other) for one, other in zip(words, words[first:], strict=False)):
            return first
    return None


def has_zero_duration(starts_s: Sequence[float], end_s: float, cut: int) -> bool:
    """Whether the words from index `cut` on take hardly any time, so that they were never spoken.

    `starts_s` are the words' starts, `end_s` is the end of the last word: seconds into the audio.
    """
    before = (starts_s[cut] - starts_s[0]) / max(1, cut)
    after = (end_s - starts_s[cut]) / max(1, len(starts_s) - cut)
    return after < before / 3


def spoken_words(durations_s: Sequence[float]) -> int:
    """Number of words before those at the end that take no time: a further copy behind two that were spoken.

    One word without a duration is a short one, or badly aligned.
    """
    unspoken = sum(1 for _ in takewhile(lambda duration: duration < _ALIGNMENT_STEP_S, reversed(durations_s)))
    return len(durations_s) - (unspoken if unspoken > 1 else 0)


def truncate_repetition(text: str, audio_s: float) -> str:
    """The text up to its repetition, if nobody can say the whole of it in `audio_s` seconds; else all of it.

    The last word may have been cut off in the middle of the repetition.
    """
    words = text.split()
    if len(text) > _MAX_CHARACTERS_PER_S * audio_s:
        for whole in (words, words[:-1]):
            if (cut := loop_start(whole)) is not None:
                return " ".join(whole[:cut])
    return text
