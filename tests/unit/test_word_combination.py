"""Two models' texts as one, by the confidence of the words in which they differ."""

import pytest

from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeResult, TimedWord
from providers.local.asr.word_combination import combined


def said(text, *probabilities, verdict=Verdict.OK, at=0.0):
    """A text whose words take half a second each; those without a probability are sure."""
    words = text.split()
    sure = [*probabilities, *[0.9] * (len(words) - len(probabilities))]
    timed = tuple(
        TimedWord(f" {word}", at + n / 2, at + n / 2 + 0.5, each)
        for n, (word, each) in enumerate(zip(words, sure, strict=True))
    )
    return DecodeResult(text, -0.2, verdict, timed, passes=1, language="en")


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (said("An American man.", 0.9, 0.4), said("An medical man,", 0.9, 0.6), "An medical man."),
        (said("An American man.", 0.9, 0.7), said("An medical man,", 0.9, 0.6), "An American man."),
        (said("Thou sea kissed it", 0.9, 0.5, 0.5), said("Thou seekest it", 0.9, 0.8), "Thou seekest it"),
        (said("Press to mute"), said("Press 1 to mute", 0.9, 0.7), "Press 1 to mute"),
        (said("Press to mute"), said("Press 1 to mute", 0.9, 0.5), "Press to mute"),
        (said("Press uh to mute", 0.9, 0.4), said("Press to mute"), "Press to mute"),
        (said("Press one to mute", 0.9, 0.6), said("Press to mute"), "Press one to mute"),
    ],
    ids=["surer word", "own word", "two for one", "added", "unsure, not added", "left out", "kept"],
)
def test_a_difference_is_decided_by_the_confidence_of_its_words(first, second, text):
    both = combined(first, second)

    assert both.text == text
    assert [word.text.strip() for word in both.words] == text.split()
    assert both.passes == 2


def test_punctuation_and_case_alone_are_no_difference():
    assert combined(said("Yes, I do.", 0.1, 0.1, 0.1), said("yes i do")).text == "Yes, I do."


def test_chosen_words_have_their_own_times_and_the_confidence_is_theirs():
    both = combined(said("good morning", 0.9, 0.2), said("good evening", 0.9, 0.9, at=0.1))

    assert [(word.start_s, word.probability) for word in both.words] == [(0.0, 0.9), (0.6, 0.9)]
    assert both.confidence == pytest.approx(0.9)


def test_the_known_text_before_both_stays_as_it_is():
    known, first = "Half a mourning", said("Half a mourning so", 0.1, 0.1, 0.1, 0.2)

    assert combined(first, said("Half a mourning too"), known).text == "Half a mourning too"
    assert combined(first, said("half the morning too"), known) is first


@pytest.mark.parametrize(
    ("first", "second", "is_second"),
    [
        (said("any any any", verdict=Verdict.LOOP), said("Any."), True),
        (said("Yes."), said("you you you", verdict=Verdict.BROKEN), False),
        (said("you you", verdict=Verdict.BROKEN), DecodeResult(), True),
        (said("you you", verdict=Verdict.BROKEN), said("me me me", verdict=Verdict.LOOP), False),
        (said("Yes."), DecodeResult(), False),
        (said("Yes.", 0.1), DecodeResult("No.", -0.1, Verdict.OK), True),
        (DecodeResult("Yes.", -0.5, Verdict.OK), said("No."), True),
    ],
    ids=["loop", "broken second", "silence", "both broken", "silent second", "second without words", "without words"],
)
def test_one_of_them_alone_is_the_result_where_the_other_cannot_be_used(first, second, is_second):
    assert combined(first, second) is (second if is_second else first)
