"""Which of several languages an utterance is in: the session's last one is favoured. Pure.

A word or two are hard to tell apart, and people seldom change their language.
"""

from collections.abc import Collection, Mapping

from app.domain.audio import SAMPLE_RATE
from app.domain.language import allowed_languages

_SHORT = 2 * SAMPLE_RATE
"""Samples, pauses included, up to which an utterance keeps the session's language."""

_CLEAR = 4.0
"""So many times as probable as the session's language another one must be."""


def known_language(
    requested: str | None, previous: str | None, samples: int, model_languages: Collection[str]
) -> str | None:
    """The language that needs no detection: the only one, or a short utterance's the session's; None: detect it.

    `requested` are those that may be spoken, with commas between; None: all. `model_languages` are those that the model
    knows.
    """
    allowed = allowed_languages(requested) or tuple(model_languages)
    if len(allowed) == 1:
        return allowed[0]
    return previous if samples <= _SHORT and previous in allowed else None


def choose_language(probabilities: Mapping[str, float], requested: str | None, previous: str | None) -> str:
    """The language of an utterance, by the probability of each language that the model knows."""
    allowed = allowed_languages(requested) or tuple(probabilities)
    best = max(allowed, key=lambda language: probabilities.get(language, 0.0))
    if previous not in allowed:
        return best
    is_clear = probabilities.get(best, 0.0) >= _CLEAR * probabilities.get(previous, 0.0)
    return best if is_clear else previous
