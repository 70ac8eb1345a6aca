"""Words and language of OpenAI's verbose JSON."""

import pytest

from app.domain.transcript import Word
from providers.openai.words import spoken_language, timed_words


def test_words_are_timed_in_samples():
    """OpenAI tells no probability; then it is the text's."""
    told = [{"word": " Hi", "start": 0.5, "end": 1, "probability": 0.25}, {"word": "there", "start": 1.0, "end": 1.5}]

    assert list(timed_words(told, confidence=0.75)) == [
        Word("Hi", 8000, 16_000, 0.25),
        Word("there", 16_000, 24_000, 0.75),
    ]


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        "words",
        [None],
        [{"word": "hi"}],
        [{"word": "", "start": 0.0, "end": 1.0}],
        [{"word": 1, "start": 0, "end": 1}],
    ],
)
def test_what_is_no_word_is_left_out(told):
    """The text is what counts."""
    assert list(timed_words(told, confidence=1.0)) == []


def test_a_word_does_not_end_before_it_begins():
    (word,) = timed_words([{"word": "hi", "start": 2.0, "end": 1.0, "probability": 7.0}], confidence=1.0)

    assert word == Word("hi", 32_000, 32_000, 1.0)


@pytest.mark.parametrize(
    ("told", "code"), [("german", "de"), ("de", "de"), ("", None), ("klingon", None), (None, None)]
)
def test_the_language_is_a_code(told, code):
    assert spoken_language(told) == code
