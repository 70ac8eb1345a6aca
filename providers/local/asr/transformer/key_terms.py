"""Bias of a decoder towards key terms: names and jargon that the speaker is likely to say.

A prefix tree of the terms' tokens; a token that begins a term, or that continues one just begun, gets a bonus on its
logit (shallow fusion with a prefix tree, as in Zhao et al., "Shallow-Fusion End-to-End Contextual Biasing", 2019).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from providers.local.asr.transformer.quantization import Floats

FIRST_BONUS, NEXT_BONUS = 2.5, 6.0
"""On the logits: starting values. What they recognize, and what they insert, is not measured with this decoder yet."""


@dataclass(slots=True)
class _Node:
    children: dict[int, "_Node"] = field(default_factory=dict)


@dataclass(slots=True)
class KeyTermBias:
    """The terms as sequences of tokens; without any it changes nothing."""

    terms: Iterable[Sequence[int]] = ()
    first_bonus: float = FIRST_BONUS
    next_bonus: float = NEXT_BONUS
    _root: _Node = field(default_factory=_Node)
    _longest: int = 0

    def __post_init__(self) -> None:
        for term in self.terms:
            node = self._root
            for token in term:
                node = node.children.setdefault(token, _Node())
            self._longest = max(self._longest, len(term))

    def best(self, logits: Floats, text: Sequence[int]) -> int:
        """The likeliest token (vocabulary,) behind this text, the bonus counted; `logits` stay as they are."""
        plain = int(logits.argmax())
        bonuses = self._bonuses(text)
        if not bonuses:
            return plain
        tokens = np.fromiter(bonuses, np.intp)
        biased = logits[tokens] + np.fromiter(bonuses.values(), np.float32)
        best = int(biased.argmax())
        return int(tokens[best]) if biased[best] > logits[plain] + bonuses.get(plain, 0.0) else plain

    def _bonuses(self, text: Sequence[int]) -> Mapping[int, float]:
        """The bonus of each token that would begin or continue a term."""
        if not self._root.children:
            return {}
        bonuses = dict.fromkeys(self._root.children, self.first_bonus)
        for length in range(1, min(self._longest, len(text) + 1)):
            node: _Node | None = self._root
            for token in text[len(text) - length :]:
                node = node.children.get(token) if node else None
            if node:
                bonuses |= dict.fromkeys(node.children, self.next_bonus)
        return bonuses
