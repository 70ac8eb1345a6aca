"""Two models' texts of the same audio as one: where they differ, the words of the surer one. Pure.

Fiscus, "A post-processing system to yield reduced word error rates: Recognizer Output Voting Error Reduction" (1997),
for two systems: both texts are aligned by words, and each difference is decided by the confidence of its words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from math import log

from app.domain.transcript import bare_word, join
from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeResult, TimedWord

_INSERTED = 0.6
"""Mean probability from which words of the second text are added where the first one has none."""

_KEPT = 0.5
"""Mean probability from which words of the first text stay where the second one has none."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """Words of both texts for the same audio; one of them may have none."""

    first: Sequence[TimedWord]
    second: Sequence[TimedWord]

    @property
    def choice(self) -> Sequence[TimedWord]:
        if not self.first:
            return self.second if _mean(self.second) >= _INSERTED else ()
        if not self.second:
            return self.first if _mean(self.first) >= _KEPT else ()
        return self.second if _mean(self.second) > _mean(self.first) else self.first


def combined(first: DecodeResult, second: DecodeResult, prefix: str = "") -> DecodeResult:
    """One text of both, with the times of the words that were chosen.

    `prefix` is the known text that both begin with. Where only one of them is acceptable it is the result; where the
    confidence of their words is not known, the second, because the first is in doubt.
    """
    if not second.is_usable:
        silent = second.verdict is Verdict.SILENCE and first.verdict is not Verdict.OK
        return second if silent else first
    if not first.is_usable:
        return second
    if not second.text.startswith(prefix):
        return first
    own, other, known = _words(first), _words(second), len(prefix.split())
    if own is None or other is None:
        return second
    matcher = SequenceMatcher(None, _bare(own[known:]), _bare(other[known:]), autojunk=False)
    words = list(own[:known])
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        difference = _Difference(own[known + start : known + end], other[known + other_start : known + other_end])
        words += difference.first if kind == "equal" else difference.choice
    return replace(
        first,
        text=join((prefix, *(word.text for word in words[known:]))),
        words=tuple(words),
        avg_logprob=sum(log(max(word.probability, 1e-4)) for word in words) / max(1, len(words)),
        passes=first.passes + second.passes,
    )


def _words(result: DecodeResult) -> Sequence[TimedWord] | None:
    """The words of the text with their probabilities; None where they are not those of the text."""
    is_whole = _bare(result.words) == [bare_word(text) for text in result.text.split()]
    return result.words if is_whole else None


def _bare(words: Sequence[TimedWord]) -> list[str]:
    return [bare_word(word.text.strip()) for word in words]


def _mean(words: Sequence[TimedWord]) -> float:
    return sum(word.probability for word in words) / len(words)
