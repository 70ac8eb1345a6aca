"""Draft tokens for speculative decoding.

Leviathan et al., "Fast Inference from Transformers via Speculative Decoding" (2023), with the text of an earlier draft
of the same audio in place of a second model. The decoder verifies several draft tokens in one step and keeps those that
it would have written itself, so a wrong draft costs time and never a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_MIN_LOOKAHEAD = 3
_MAX_LOOKAHEAD = 12
_RESYNC_TOKENS = 5
"""Draft tokens searched for the place where the draft continues after a token it did not predict."""


@dataclass(slots=True)
class DraftSpeculation:
    """A position in the draft tokens that follows what the decoder truly writes."""

    draft_tokens: Sequence[int] = ()
    at: int = 0
    lookahead: int = _MAX_LOOKAHEAD
    """Tokens to propose at once: doubled after a step that accepted all, least after one that did not."""

    def propose(self, limit: int) -> tuple[int, ...]:
        """The next draft tokens, at most `limit` and `lookahead`."""
        return tuple(self.draft_tokens[self.at : self.at + max(0, min(limit, self.lookahead))])

    def accept(self, written: Sequence[int], proposed: int) -> None:
        """Advance behind the tokens that a step has written, for which `proposed` draft tokens were proposed."""
        for token in written:
            self._advance(token)
        if proposed:
            accepted_all = len(written) > proposed
            self.lookahead = min(_MAX_LOOKAHEAD, 2 * self.lookahead) if accepted_all else _MIN_LOOKAHEAD

    def _advance(self, token: int) -> None:
        """Behind this token, or behind the draft token in whose place it was written."""
        near = self.draft_tokens[self.at : self.at + _RESYNC_TOKENS]
        self.at += near.index(token) + 1 if token in near else 1
