"""Which key terms a decoder wrote that were not said. Pure.

A bonus can make the decoder begin a term and leave it half-way, end it inside a longer word, or write it where the
sound says something else. Where the bonus has changed a token, the term around it must be whole, and must sound like
what the decoder writes there without it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from providers.local.asr.transformer.key_terms import KeyTermBias
from providers.local.asr.transformer.sound_alike import sound_distance, sound_length

MAX_REJECTED = 12
"""Terms taken back in one text, after which no more are expected: each costs steps of the decoder."""


class TermSpan(NamedTuple):
    """Tokens `start` to `end` of a text; `end` None: no whole term stands there."""

    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class TermGuard:
    """The rule for texts written with this bias."""

    bias: KeyTermBias

    def doubtful(
        self, text: Sequence[int], deficits: Sequence[float], settled: Collection[int], *, ended: bool
    ) -> TermSpan | None:
        """The first term that only the bias has written and that is over, whole or not; None: there is none.

        `deficits` are those of the text's tokens, as `KeyTermBias.best` tells them. Terms that begin at the indexes
        `settled` were judged before.
        """
        covered = 0
        for index, deficit in enumerate(deficits):
            if not deficit or index < covered:
                continue
            starts = [
                start
                for start in range(max(0, index - self.bias.longest + 1), index + 1)
                if len(list(self.bias.path(text[: index + 1], start))) == index + 1 - start
            ]
            spans = [TermSpan(start, self._end(text, start, index)) for start in starts]
            whole = next((span for span in spans if span.end is not None), None)
            if whole is not None:
                assert whole.end is not None
                covered = whole.end
                if whole.start not in settled:
                    return whole
            elif ended or not any(self._is_open(text, start) for start in starts):
                return TermSpan(min(starts, default=index), None)
        return None

    def may_stand(self, term: str, plain: str, deficit: float) -> bool:
        """Whether a term may replace what stands in its place without the bias, where `plain` begins.

        `deficit` is the sum over its tokens.
        """
        words = plain.split()
        nearest = min((sound_distance(term, " ".join(words[:n])) for n in range(1, len(words) + 1)), default=1.0)
        weights = self.bias.weights
        return nearest <= weights.max_distance and deficit <= weights.max_deficit * sound_length(term)

    def _end(self, text: Sequence[int], start: int, index: int) -> int | None:
        """The end of the whole term that begins at `start` and covers `index`."""
        end = start
        for place in self.bias.path(text, start):
            end += 1
            behind = text[end : end + 1]
            if end > index and place.is_end and not (behind and self.bias.continues_word(behind[0])):
                return end
        return None

    def _is_open(self, text: Sequence[int], start: int) -> bool:
        return len(list(self.bias.path(text, start))) == len(text) - start
