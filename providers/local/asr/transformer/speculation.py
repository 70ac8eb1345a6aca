"""What the decoder will probably write next.

Leviathan et al., "Fast Inference from Transformers via Speculative Decoding" (2023), with words that are already
there in place of a second model: what a draft heard of the same sound. The decoder reads several guessed tokens in one
step and keeps those that it would have written itself, so a wrong guess costs time and never a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_FEWEST = 3
_MOST = 12
_SEARCHED = 5
"""Tokens looked through for the place where the guess goes on after a word it did not foresee."""


@dataclass(slots=True)
class DraftSpeculation:
    """A reader of guessed tokens that keeps pace with what is truly written."""

    tokens: Sequence[int] = ()
    at: int = 0
    trusted: int = _MOST
    """Tokens to offer at once: more after a step in which all were right."""

    def ahead(self, most: int) -> tuple[int, ...]:
        """The next tokens, at most so many."""
        return tuple(self.tokens[self.at : self.at + max(0, min(most, self.trusted))])

    def learn(self, written: Sequence[int], offered: int) -> None:
        """What was written in the step for which so many tokens were offered."""
        for token in written:
            self._follow(token)
        if offered:
            self.trusted = min(_MOST, 2 * self.trusted) if len(written) > offered else _FEWEST

    def _follow(self, token: int) -> None:
        """Past this token, or past the one in whose place it was written."""
        near = self.tokens[self.at : self.at + _SEARCHED]
        self.at += near.index(token) + 1 if token in near else 1
