"""Whether words that were said so far are a sentence, break off, or are being dictated."""

from itertools import takewhile

from app.domain.dialog.turn_words import is_dictated, last_word, turn_words
from app.domain.transcript import bare_word

MIN_DICTATED = 3
"""Digits, numbers and letters at the end of a sentence that make it a dictation: "I have two." is none."""
_CLOSING = " \"'”’)"  # noqa: RUF001 because these are the quotes meant


def is_complete(text: str) -> bool:
    """Whether it ends like a sentence."""
    stripped = text.rstrip(_CLOSING)
    return stripped.endswith((".", "?", "!")) and not stripped.endswith("...")


def is_incomplete(text: str, language: str | None) -> bool:
    """Whether it asks for more: by its last sign, and where the language has a table, by its last word."""
    if text.rstrip(_CLOSING).endswith((",", "-", "…", "...")):
        return True
    words = turn_words(language)
    return words is not None and last_word(text) in words.incomplete_endings


def is_dictation(text: str, language: str | None) -> bool:
    """Whether it ends in a number, a spelling or an address that may go on: people pause between its groups."""
    if text.rstrip(_CLOSING).endswith(("?", "!")):
        return False
    words = turn_words(language)
    spoken = [word for word in map(bare_word, text.split()) if word]
    dictated = takewhile(lambda word: is_dictated(word, words), reversed(spoken))
    signs = sum(sum(map(str.isdigit, word)) or 1 for word in dictated)
    return signs >= (MIN_DICTATED if is_complete(text) else 1)
