"""Words with times, and the language, of OpenAI's `verbose_json`. Pure; what is malformed is left out."""

from collections.abc import Iterator
from typing import Any

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ClientError
from app.domain.language import parse_language
from app.domain.transcript import Word


def timed_words(words: Any, *, confidence: float) -> Iterator[Word]:
    """Positions in samples. OpenAI tells no probability of a word, a Parley worker does; else it is the text's."""
    for word in words if isinstance(words, list) else ():
        match word:
            case {"word": str(text), "start": int() | float() as start, "end": int() | float() as end} if text.strip():
                probability = word.get("probability")
                known = min(1.0, max(0.0, probability)) if isinstance(probability, float) else confidence
                first = max(0, round(start * SAMPLE_RATE))
                yield Word(text.strip(), first, max(first, round(end * SAMPLE_RATE)), known)


def spoken_language(language: Any) -> str | None:
    """The code; OpenAI names it in English ("german")."""
    try:
        return parse_language(language) if isinstance(language, str) else None
    except ClientError:
        return None
