"""Left context: the utterances of a session that are decoded in front of a new one."""

from app.domain.audio import SAMPLE_RATE
from providers.local.asr.left_context import ContextAudio, LeftContext, PreviousUtterance, strip_context


def spoken(start, seconds, text, language="en"):
    """An utterance at this second of the session; its sound is its number."""
    return PreviousUtterance(start * SAMPLE_RATE, bytes([start]) * (2 * seconds * SAMPLE_RATE), language, text)


def context_before(context, start, seconds, language="en"):
    return context.before(start * SAMPLE_RATE, seconds * SAMPLE_RATE, language)


def test_left_context_holds_previous_utterances_and_their_pauses():
    """Two of them, a second apart, as long as they lasted."""
    context = LeftContext().add(spoken(1, 2, "And so,")).add(spoken(4, 1, "my fellow"))

    found = context_before(context, 6, 2)

    assert found.text == "And so, my fellow"
    assert found.pcm == spoken(1, 2, "").pcm + bytes(2 * SAMPLE_RATE) + spoken(4, 1, "").pcm + bytes(2 * SAMPLE_RATE)


def test_left_context_and_utterance_fit_ten_seconds():
    """The newest first; speech that is long has context enough of its own."""
    context = LeftContext().add(spoken(0, 3, "one")).add(spoken(4, 3, "two"))

    assert context_before(context, 8, 2).text == "one two"
    assert context_before(context, 8, 5).text == "two"
    assert context_before(context, 8, 7) == ContextAudio()
    assert LeftContext().add(spoken(0, 11, "a long story")).utterances == ()


def test_left_context_ends_at_a_long_pause_or_another_language():
    """A pause of more than three seconds begins something new."""
    context = LeftContext().add(spoken(0, 2, "hello"))

    assert context_before(context, 5, 1).text == "hello"
    assert context_before(context, 6, 1) == ContextAudio()
    assert context_before(context, 3, 1, "de") == ContextAudio()


def test_left_context_replaces_an_utterance_transcribed_again():
    """It is never its own context, and an utterance without words is not kept."""
    context = LeftContext().add(spoken(0, 1, "one")).add(spoken(2, 1, "two")).add(spoken(2, 2, "two three"))

    assert [one.text for one in context.utterances] == ["one", "two three"]
    assert context_before(context, 2, 3).text == "one"
    assert [one.text for one in context.add(spoken(5, 1, "")).utterances] == ["one", "two three"]


def test_strip_context_keeps_only_new_text():
    """The full stop in between belongs to neither; a text that says something else is none."""
    assert strip_context("And so", "And so, my fellow") == "my fellow"
    assert strip_context("And so.", "And so. My fellow") == "My fellow"
    assert strip_context("And so", "And so.") is None
    assert strip_context("And so", "But so, my fellow") is None
