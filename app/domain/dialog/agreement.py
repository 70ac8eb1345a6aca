"""Stable prefix of successive drafts, by local agreement.

Local agreement (Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition
and Translation by Partial Hypothesis Selection", 2020): the longest common prefix
of two successive drafts is taken as stable. Words are compared without case and
punctuation, because those change with every new word after them.
"""

from dataclasses import dataclass
from itertools import takewhile

from app.domain.transcript import same_word


@dataclass(frozen=True, slots=True)
class LocalAgreement:
    """The drafts of one utterance so far. Stable words are never taken back."""

    stable: tuple[str, ...] = ()
    newest: tuple[str, ...] = ()

    def update(self, draft: str) -> "LocalAgreement":
        """The agreement after one more draft of the same utterance; one without words changes nothing."""
        words = tuple(draft.split())
        if not words:
            return self
        pairs = zip(self.newest, words, strict=False)
        agreed = sum(1 for _ in takewhile(lambda pair: same_word(*pair), pairs))
        if agreed > len(self.stable) and all(map(same_word, self.stable, words)):
            return LocalAgreement(words[:agreed], words)
        return LocalAgreement(self.stable, words)

    @property
    def text(self) -> str:
        """What to show: the stable words, and behind them the newest guess."""
        return " ".join((*self.stable, *self.newest[len(self.stable) :]))

    def shown_text(self, held_back_words: int) -> tuple[str, str]:
        """The same in two parts: what to show, and behind it so many words that are guesses.

        The first word of all is always shown.
        """
        words = (*self.stable, *self.newest[len(self.stable) :])
        shown = max(1, len(self.stable), len(words) - held_back_words)
        return " ".join(words[:shown]), " ".join(words[shown:])

    @property
    def stable_text(self) -> str:
        return " ".join(self.stable)
