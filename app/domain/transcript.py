"""Hypotheses of speech-to-text engines: text, word times, language and confidence; comparison of texts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

_EDGES = ".,;:!?…\"'“”‘’()[]-–—¿¡"  # noqa: RUF001 because these signs are meant
"""Punctuation around a word, which a comparison of words leaves out."""


_MARKS = frozenset(",.;:!?，。；：！？、")  # noqa: RUF001 likewise
_UNSPACED = (("\u3000", "\u30ff"), ("\u3400", "\u9fff"), ("\uff00", "\uff65"))
"""CJK punctuation, Hiragana and Katakana; Han; fullwidth forms."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its position in the audio."""

    text: str
    start: int
    """Samples from the utterance's first sample."""

    end: int
    probability: float = 1.0
    speaker: str | None = None
    """Speaker label, where the engine separates speakers; valid within one stream only."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an engine recognised, interim or final."""

    text: str
    is_final: bool = False
    """An interim hypothesis may change; a final one never does."""

    words: tuple[Word, ...] = ()
    """Empty where the engine gives no word times."""

    language: str | None = None
    """Two-letter code, where the engine reports it."""

    confidence: float | None = None
    """0 to 1, where the engine reports it; comparable within one engine only."""


def moved(words: Iterable[Word], samples: int) -> tuple[Word, ...]:
    """The words as they are so many samples later."""
    return tuple(replace(word, start=word.start + samples, end=word.end + samples) for word in words)


def join(texts: Iterable[str]) -> str:
    """Segments of speech as one running text, written as people do.

    No space stands before a mark that ends a sentence or a clause, nor within Chinese and Japanese, and a mark that an
    engine has written on both sides of a seam stands there once.
    """
    joined = ""
    for text in (t.strip() for t in texts):
        mark = _opening_mark(text)
        if mark and mark == joined[-1:]:
            text = text[1:].lstrip()  # noqa: PLW2901 because the rest is the segment
            mark = _opening_mark(text)
        if not joined or not text or mark or (_is_unspaced(joined[-1]) and _is_unspaced(text[0])):
            joined += text
        else:
            joined += f" {text}"
    return joined


def _opening_mark(text: str) -> str:
    """The mark that belongs to the words before this text; empty for the point of .5, of .NET and of an ellipsis."""
    return text[0] if text[:1] in _MARKS and (len(text) == 1 or text[1].isspace()) else ""


def _is_unspaced(character: str) -> bool:
    """Of a script that puts no spaces between words, or of its punctuation."""
    return any(first <= character <= last for first, last in _UNSPACED)


def bare_word(word: str) -> str:
    """The word without case and the punctuation around it."""
    return word.strip(_EDGES).casefold()


def same_word(one: str, other: str) -> bool:
    """True where two spellings are the same spoken word."""
    return bare_word(one) == bare_word(other)


def agreement(one: str, other: str) -> float:
    """Similarity of two texts by words in order, 0 to 1 (Ratcliff/Obershelp); case and punctuation do not count."""
    words = [[bare_word(word) for word in text.split()] for text in (one, other)]
    return SequenceMatcher(None, words[0], words[1], autojunk=False).ratio()
