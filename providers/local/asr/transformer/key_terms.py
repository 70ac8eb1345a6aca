"""Bias of a decoder towards key terms: names and jargon that the speaker is likely to say. Pure.

A prefix tree of the terms' tokens; a token that begins a term, or that continues one just begun, gets a bonus on its
logit (shallow fusion with a prefix tree, as in Zhao et al., "Shallow-Fusion End-to-End Contextual Biasing", 2019).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from providers.local.asr.transformer.quantization import Floats


class TermWeights(NamedTuple):
    """How strongly terms are expected; all are differences of logits."""

    first: float = 4.0
    """Bonus of a token that begins a term."""
    next: float = 8.0
    """Bonus of a token that continues one."""
    max_deficit: float = 2.0
    """How far a term's tokens, together, may lie below the likeliest ones, for each of its sounds."""
    max_distance: float = 0.2
    """How unlike a term may sound what the decoder writes in its place without a bonus, 0 to 1."""


DEFAULT_WEIGHTS = TermWeights()

_KEPT_LISTS = 64
"""Lists of terms whose prefix trees are kept: about as many as sessions speak at once."""


@dataclass(slots=True)
class TermNode:
    """A place in the prefix tree."""

    children: dict[int, "TermNode"] = field(default_factory=dict)
    is_end: bool = False
    """A term ends here."""


class BiasedChoice(NamedTuple):
    """The token chosen, and how much likelier the plain one was: a difference of logits, 0 where they are one."""

    token: int
    deficit: float


@dataclass(slots=True)
class KeyTermBias:
    """The terms as sequences of tokens; without any it changes nothing. Never changed: threads share it."""

    terms: Iterable[Sequence[int]] = ()
    weights: TermWeights = DEFAULT_WEIGHTS
    text_of: Callable[[Sequence[int]], str] = lambda _: ""
    """The text of some tokens, with its leading space."""
    root: TermNode = field(init=False, default_factory=TermNode)
    longest: int = field(init=False, default=0)
    """Tokens of the longest term."""

    def __post_init__(self) -> None:
        for term in self.terms:
            node = self.root
            for token in term:
                node = node.children.setdefault(token, TermNode())
            node.is_end = True
            self.longest = max(self.longest, len(term))

    def continues_word(self, token: int) -> bool:
        """Whether this token goes on with the word before it: a letter with two cases.

        In scripts without them words are not set apart. An "s" makes a plural.
        """
        text = self.text_of([token])
        return text[:1].lower() != text[:1].upper() and text != "s"

    def best(self, logits: Floats, text: Sequence[int], barred: Collection[int] = ()) -> BiasedChoice:
        """The likeliest token (vocabulary,) behind this text, the bonus counted; `logits` stay as they are.

        No term is expected to begin at the indexes `barred` of the text.
        """
        plain = int(logits.argmax())
        bonuses = self._bonuses(text, barred)
        if not bonuses:
            return BiasedChoice(plain, 0.0)
        tokens = np.fromiter(bonuses, np.intp)
        biased = logits[tokens] + np.fromiter(bonuses.values(), np.float32)
        best = int(biased.argmax())
        if biased[best] <= logits[plain] + bonuses.get(plain, 0.0):
            return BiasedChoice(plain, 0.0)
        return BiasedChoice(int(tokens[best]), float(logits[plain] - logits[tokens[best]]))

    def path(self, text: Sequence[int], start: int) -> Iterator[TermNode]:
        """The places in the tree that the text passes from this index on, as far as it follows a term."""
        node: TermNode | None = self.root
        for token in text[start : start + self.longest]:
            node = node.children.get(token) if node else None
            if node is None:
                return
            yield node

    def _bonuses(self, text: Sequence[int], barred: Collection[int]) -> Mapping[int, float]:
        """The bonus of each token that would begin or continue a term."""
        if not self.longest:
            return {}
        end = len(text)
        bonuses = {} if end in barred else dict.fromkeys(self.root.children, self.weights.first)
        for start in range(max(0, end - self.longest + 1), end):
            places = list(self.path(text, start)) if start not in barred else []
            if len(places) == end - start:
                bonuses |= dict.fromkeys(places[-1].children, self.weights.next)
        return bonuses


def bias_maker(
    encode: Callable[[str], Sequence[int]],
    text_of: Callable[[Sequence[int]], str],
    weights: TermWeights = DEFAULT_WEIGHTS,
) -> Callable[[tuple[str, ...]], KeyTermBias]:
    """Makes the bias for a list of terms, with a tokenizer's `encode` and `decode`; it keeps the newest.

    A term in small letters is expected at the beginning of a sentence, too.
    """

    @lru_cache(maxsize=_KEPT_LISTS)
    def bias(terms: tuple[str, ...]) -> KeyTermBias:
        spellings = dict.fromkeys(form for term in terms for form in (term, term[:1].upper() + term[1:]))
        return KeyTermBias([encode(form) for form in spellings], weights, text_of)

    return bias
