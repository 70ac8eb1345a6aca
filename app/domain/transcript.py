"""What was said, and how sure an engine is of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

_EDGES = ".,;:!?…\"'“”‘’()[]-–—¿¡"  # noqa: RUF001 because these are the very signs meant
"""Punctuation around a word, which a comparison of words leaves out."""


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word and where it was heard."""

    text: str
    start: int
    """Samples from the utterance's first sample."""

    end: int
    probability: float = 1.0
    speaker: str | None = None
    """Who said it, where the engine tells voices apart; names hold within one stream only."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an engine thinks was said."""

    text: str
    is_final: bool = False
    """An interim hypothesis may change; a final one never does."""

    words: tuple[Word, ...] = ()
    """Empty where the engine gives no word times."""

    language: str | None = None
    """Two-letter code, where the engine knows it."""

    confidence: float | None = None
    """0 to 1, where the engine says; comparable within one engine only."""


def join(texts: Iterable[str]) -> str:
    """Segments of speech as one running text."""
    return " ".join(text for text in (t.strip() for t in texts) if text)


def same_word(one: str, other: str) -> bool:
    """True where two spellings are the same spoken word."""
    return one.strip(_EDGES).casefold() == other.strip(_EDGES).casefold()


def agreement(one: str, other: str) -> float:
    """How far two texts have the same words in the same order, 0 to 1; case and punctuation do not count."""
    words = [[word.strip(_EDGES).casefold() for word in text.split()] for text in (one, other)]
    return SequenceMatcher(None, words[0], words[1], autojunk=False).ratio()
