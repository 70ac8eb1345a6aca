"""What is heard in front of an utterance, and what an utterance adds to it."""

from app.domain.audio import SAMPLE_RATE
from providers.local.asr.left_context import ContextAudio, LeftContext, PreviousUtterance, strip_context


def said(start, seconds, text, language="en"):
    """An utterance at this second of the session; its sound is its number."""
    return PreviousUtterance(start * SAMPLE_RATE, bytes([start]) * (2 * seconds * SAMPLE_RATE), language, text)


def lead(before, start, seconds, language="en"):
    return before.lead(start * SAMPLE_RATE, seconds * SAMPLE_RATE, language)


def test_the_utterances_just_before_lead_up_to_a_new_one_with_their_pauses():
    """Two of them, a second apart, as long as they lasted."""
    before = LeftContext().and_then(said(1, 2, "And so,")).and_then(said(4, 1, "my fellow"))

    led = lead(before, 6, 2)

    assert led.text == "And so, my fellow"
    assert led.pcm == said(1, 2, "").pcm + bytes(2 * SAMPLE_RATE) + said(4, 1, "").pcm + bytes(2 * SAMPLE_RATE)


def test_only_what_fits_ten_seconds_leads():
    """The newest first; speech that is long has context enough of its own."""
    before = LeftContext().and_then(said(0, 3, "one")).and_then(said(4, 3, "two"))

    assert lead(before, 8, 2).text == "one two"
    assert lead(before, 8, 5).text == "two"
    assert lead(before, 8, 7) == ContextAudio()
    assert LeftContext().and_then(said(0, 11, "a long story")).said == ()


def test_what_was_said_long_ago_or_in_another_language_is_left_alone():
    """A pause of more than three seconds begins something new."""
    before = LeftContext().and_then(said(0, 2, "hello"))

    assert lead(before, 5, 1).text == "hello"
    assert lead(before, 6, 1) == ContextAudio()
    assert lead(before, 3, 1, "de") == ContextAudio()


def test_an_utterance_that_is_heard_again_takes_its_own_place():
    """It never leads up to itself, and what nobody said is not remembered."""
    before = LeftContext().and_then(said(0, 1, "one")).and_then(said(2, 1, "two")).and_then(said(2, 2, "two three"))

    assert [one.text for one in before.said] == ["one", "two three"]
    assert lead(before, 2, 3).text == "one"
    assert [one.text for one in before.and_then(said(5, 1, "")).said] == ["one", "two three"]


def test_what_goes_on_behind_the_words_before_is_what_is_new():
    """The full stop in between belongs to neither; a text that says something else is none."""
    assert strip_context("And so", "And so, my fellow") == "my fellow"
    assert strip_context("And so.", "And so. My fellow") == "My fellow"
    assert strip_context("And so", "And so.") is None
    assert strip_context("And so", "But so, my fellow") is None
