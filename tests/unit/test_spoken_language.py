"""Which language an utterance is in: the session's last one, unless another is clear."""

import pytest

from app.domain.audio import SAMPLE_RATE
from providers.local.asr.spoken_language import choose_language, known_language

SHORT, LONG = SAMPLE_RATE, 4 * SAMPLE_RATE
MODEL = frozenset({"de", "en", "fr"})


@pytest.mark.parametrize(
    ("probabilities", "requested", "previous", "spoken"),
    [
        ({"de": 0.6, "en": 0.4}, "de,en", None, "de"),
        ({"de": 0.6, "en": 0.4}, "de,en", "en", "en"),
        ({"de": 0.9, "en": 0.1}, "de,en", "en", "de"),
        ({"nl": 0.9, "de": 0.06, "en": 0.04}, "de,en", None, "de"),
        ({"nl": 0.9, "de": 0.06, "en": 0.04}, None, None, "nl"),
        ({"nl": 0.9, "de": 0.06}, "de,en", "fr", "de"),
        ({}, "de,en", None, "de"),
    ],
)
def test_the_sessions_language_is_kept_unless_another_one_is_clear(probabilities, requested, previous, spoken):
    """Languages that may not be spoken count nothing, however probable they are."""
    assert choose_language(probabilities, requested, previous) == spoken


@pytest.mark.parametrize(
    ("requested", "previous", "samples", "known"),
    [
        ("de", "en", LONG, "de"),
        ("de,en", "en", SHORT, "en"),
        ("de,en", "en", LONG, None),
        ("de,en", None, SHORT, None),
        ("de,en", "fr", SHORT, None),
        (None, "fr", SHORT, "fr"),
        (None, None, LONG, None),
    ],
)
def test_a_short_utterance_keeps_the_language_of_the_session(requested, previous, samples, known):
    """What needs no detection: the only language, and that of a word or two."""
    assert known_language(requested, previous, samples, MODEL) == known


def test_a_model_of_one_language_detects_none():
    assert known_language(None, None, LONG, frozenset({"en"})) == "en"
