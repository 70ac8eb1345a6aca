"""Words that break off or are being dictated wait longer, in the language that is spoken."""

import pytest

from app.domain.dialog.completeness import is_dictation, is_incomplete
from app.domain.dialog.endpointing import EndpointingRules, endpoint_silence_ms
from app.domain.dialog.interruption import Overlap, is_backchannel

RULES = EndpointingRules()


@pytest.mark.parametrize(
    ("text", "language", "incomplete"),
    [
        ("I think so and", "en", True),
        ("Ruf mich an.", "de", False),
        ("Ruf mich an.", None, False),
        ("Ruf mich an.", "en-GB", True),
        ("Ich war das", "de", False),
        ("Ich möchte einen", "de-AT", True),
        ("Je voudrais un", "fr", True),
        ("Quiero ir a la", "es", True),
        ("Chcę i", "pl", False),
        ("Ich möchte,", None, True),
        ("Chcę ...", "pl", True),
        ("", "en", False),
    ],
)
def test_incomplete_words_are_those_of_the_language_spoken(text, language, incomplete):
    """In a language that has no table, and in an unknown one, only the last sign counts."""
    assert is_incomplete(text, language) == incomplete


def test_no_english_word_makes_a_german_sentence_wait():
    """ "An" is an article in English, and ends "Ruf mich an."."""
    assert endpoint_silence_ms("Ruf mich an.", "de", None, RULES) == RULES.end_after_complete_ms
    assert endpoint_silence_ms("Ich rufe dich an", None, None, RULES) == RULES.end_after_ms
    assert endpoint_silence_ms("I have an", "en", None, RULES) == RULES.end_after_incomplete_ms


@pytest.mark.parametrize(
    ("text", "language", "dictated"),
    [
        ("My number is 555", None, True),
        ("My number is 555.", None, True),
        ("I have 2.", None, False),
        ("Is it 1994?", None, False),
        ("My number is five", "en", True),
        ("five five five.", "en", True),
        ("That is a good one.", "en", False),
        ("It is spelled G A", "en", True),
        ("Meine Nummer ist null vier", "de", True),
        ("jan punkt", "de", True),
        ("Das ist der Punkt.", "de", False),
        ("zero zero", "de", False),
        ("Mon numéro est zéro six", "fr", True),
        ("juan arroba", "es", True),
        ("Hello", "en", False),
        ("", "en", False),
    ],
)
def test_numbers_spellings_and_addresses_are_dictation(text, language, dictated):
    """Digits are in any language, number words and letters in those with a table."""
    assert is_dictation(text, language) == dictated


def test_dictation_waits_longer_unless_the_turn_model_hears_its_end():
    """A number that is complete ends early where the voice says so; in the middle of one it does not."""
    assert endpoint_silence_ms("It is 020", "en", None, RULES) == RULES.end_after_incomplete_ms
    assert endpoint_silence_ms("It is 020", "en", 0.9, RULES) == RULES.end_after_incomplete_ms
    assert endpoint_silence_ms("It is 020 7946.", "en", 0.9, RULES) == RULES.end_after_likely_done_ms


@pytest.mark.parametrize(
    ("text", "language", "backchannel"),
    [
        ("Mm-hm.", "en", True),
        ("Yeah, right.", "en", True),
        ("Ja, genau.", "de", True),
        ("Ach so!", "de-DE", True),
        ("D\N{RIGHT SINGLE QUOTATION MARK}accord.", "fr", True),
        ("Sí, claro.", "es", True),
        ("Ja, genau.", "en", False),
        ("Stop.", "en", False),
        ("Warte.", "de", False),
        ("Ja, ja, ja, ja.", "de", True),
        ("", None, True),
        ("...", "en", True),
    ],
)
def test_backchannels_are_those_of_the_language_spoken(text, language, backchannel):
    """However long they last."""
    assert is_backchannel(Overlap(text, language, speech_ms=2000)) == backchannel
