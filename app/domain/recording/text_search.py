"""Full-text search: the words of a text, and what a search asks for; the same whatever database looks for them."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

MAX_WORD_LENGTH = 100
"""Characters; the rest of a longer word is not searched."""
MAX_INDEXED_BYTES = 1_000_000
"""UTF-8 of one recording's words: a tsvector of PostgreSQL takes no more."""
MAX_TERMS = 32
"""Of one search; further ones are ignored."""

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_TERM = re.compile(r'"([^"]*)"?(\*?)|([^\s"]+)')


@dataclass(frozen=True, slots=True)
class SearchTerm:
    """One word, or several that follow each other."""

    words: tuple[str, ...]
    is_prefix: bool = False
    """Whether the last word may go on."""


def fold_words(text: str) -> list[str]:
    """The words of a text as they are compared: without case, diacritics and punctuation.

    A word is a run of letters and digits; `don't` is two.
    """
    if text.isascii():
        return [word[:MAX_WORD_LENGTH] for word in _ASCII_WORD.findall(text.lower())]
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept = (each if _is_of_word(each) else " " for each in folded if not unicodedata.combining(each))
    return [word[:MAX_WORD_LENGTH] for word in "".join(kept).split()]


def indexed_words(texts: Sequence[str]) -> str:
    """The words of all texts with one space between them, as many as the index of one recording takes."""
    words = " ".join(word for text in texts for word in fold_words(text))
    whole = words.encode()
    if len(whole) <= MAX_INDEXED_BYTES:
        return words
    return whole[:MAX_INDEXED_BYTES].decode(errors="ignore").rpartition(" ")[0]


def parse_search(text: str) -> tuple[SearchTerm, ...]:
    """What a search asks for, all of it to be found in a recording: words, `"quoted phrases"` and `prefix*`.

    No text is an error: a quote that is not closed ends with the text, and what has no letter or digit is ignored.
    """
    terms = []
    for phrase, star, word in _TERM.findall(text):
        if words := fold_words(phrase or word):
            terms.append(SearchTerm(tuple(words), bool(star) or word.endswith("*")))
    return tuple(terms[:MAX_TERMS])


def _is_of_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")
