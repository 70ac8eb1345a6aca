"""Spelling guard of key terms: what sounds alike, and which terms are taken back."""

import pytest

from providers.local.asr.transformer.key_terms import KeyTermBias, TermWeights
from providers.local.asr.transformer.sound_alike import sound_distance, sound_length
from providers.local.asr.transformer.term_guard import TermGuard, TermSpan

ALPHABET = " abcdefghijklmnopqrstuvwxyz."
SAID, NEAR = "metoprolol", "metaprole"


def tokens(text):
    return [ALPHABET.index(letter) for letter in text]


def text_of(numbers):
    return "".join(ALPHABET[number] for number in numbers)


def guard(*terms, **weights):
    return TermGuard(KeyTermBias([tokens(term) for term in terms], TermWeights(**weights), text_of))


def deficits(text, *biased):
    return [1.0 if n in biased else 0.0 for n in range(len(text))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Siobhan", "shivon"),
        ("Zarathustra", "Saratustra,"),
        ("apomorphine", "apple morphine"),
        ("Philip Steels", "fill up steels"),
        ("Mbappé", "embappy"),
    ],
)
def test_misspelt_names_sound_alike(one, other):
    assert sound_distance(one, other) <= 0.2
    assert sound_distance(one, other) == sound_distance(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("Llewellyn", "letters"), ("Gorgias", "contract"), ("Nguyen", "no"), ("Ines", "")]
)
def test_other_words_do_not(one, other):
    assert sound_distance(one, other) > 0.2


def test_distance_of_a_word_to_itself_is_none_in_any_script():
    for word in ("Siobhan", "東京", "Пётр"):
        assert sound_distance(word, word) == 0.0
    assert sound_distance("東京", "京都") > 0.2
    assert sound_length("Anna") == 2.0


def test_terms_that_the_decoder_wrote_without_bias_are_not_questioned():
    text = tokens(" ask anna now")

    assert guard(" anna").doubtful(text, deficits(text), (), ended=True) is None


def test_whole_term_that_only_the_bias_wrote_is_doubtful_until_it_is_settled():
    text = tokens(" ask anna now")
    biased = deficits(text, 5)

    assert guard(" anna").doubtful(text, biased, (), ended=False) == TermSpan(4, 9)
    assert guard(" anna").doubtful(text, biased, {4}, ended=False) is None


@pytest.mark.parametrize(("text", "ended"), [(" ask ans", False), (" ask annabel.", False), (" ask an", True)])
def test_term_left_half_way_or_inside_a_longer_word_is_doubtful(text, ended):
    written = tokens(text)

    assert guard(" anna").doubtful(written, deficits(written, 5), (), ended=ended) == TermSpan(4, None)


def test_term_that_may_still_be_completed_waits():
    written = tokens(" ask an")

    assert guard(" anna").doubtful(written, deficits(written, 5), (), ended=False) is None


def test_plural_and_punctuation_end_a_term():
    for text in (" ask annas.", " ask anna."):
        written = tokens(text)
        assert guard(" anna").doubtful(written, deficits(written, 5), (), ended=True) == TermSpan(4, 9)


def test_term_may_stand_where_the_sound_is_near_and_its_cost_is_small():
    rule = guard(max_deficit=2.0, max_distance=0.2)

    assert rule.may_stand(SAID, f" {NEAR} every morning", 8.0)
    assert not rule.may_stand(SAID, f" {NEAR} every morning", 2.1 * sound_length(SAID))
    assert not rule.may_stand(SAID, " nothing of the kind", 1.0)
    assert not rule.may_stand(SAID, "", 0.1)
