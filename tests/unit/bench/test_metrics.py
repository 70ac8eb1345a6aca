import pytest

from bench.metrics import churn, draft_ages, measure
from bench.protocols import ServerEvent
from tests.unit.bench.making import played, words


def drafts(*texts, utterance="1"):
    return [ServerEvent(float(at), "draft", text, utterance) for at, text in enumerate(texts)]


def test_churn_is_zero_for_growing_drafts():
    """Three words shown one after the other: churn is nought."""
    assert churn(drafts("one", "one two", "one two three"), words) == (3, 0)


def test_churn_counts_a_changed_word_and_all_words_after_it():
    """Of `one too three` two words go when the second changes."""
    assert churn(drafts("one too three", "one two"), words) == (4, 2)


def test_churn_is_zero_across_utterances():
    """Drafts of another utterance, named or evident, begin anew."""
    named = [ServerEvent(0, "draft", "one", "1"), ServerEvent(1, "draft", "two", "2")]

    assert churn(named, words) == (2, 0)
    assert churn(drafts("one", "two", utterance=None), words) == (2, 0)


def test_draft_age_grows_until_the_next_draft():
    """Looked at every 50 ms, from the first draft to the end of speech."""
    assert draft_ages([1.0, 1.1, 9.0], 1.2001) == pytest.approx([0, 0.05, 0, 0.05], abs=0.001)


def test_latencies_are_measured_from_the_true_speech_bounds():
    """Drafts from the onset, the final and the reply from the end."""
    measured = measure(
        played(
            ServerEvent(2.0, "draft", "won", "1"),
            ServerEvent(2.4, "draft", "one two", "1"),
            ServerEvent(4.0, "final", "One two three", "1", 1.4, 3.5),
            ServerEvent(5.4, "reply"),
            reply=True,
        ),
        words,
    )

    assert measured.first_draft == pytest.approx(0.6)
    assert measured.first_right_word == pytest.approx(1.0)
    assert measured.ttfs == pytest.approx(0.6)
    assert measured.end_late == pytest.approx(0.1)
    assert measured.voice_to_voice == pytest.approx(2.0)
    assert measured.final_text == "One two three"


def test_ttfs_ignores_a_final_that_does_not_cover_the_end():
    """A final of the first half leaves the clip without an answer, whenever it comes."""
    early = played(ServerEvent(3.6, "final", "one", "1", 1.4, 2.0))

    assert early.last_final() is None
    assert not early.answered()


def test_ttfs_takes_the_last_final_that_covers_the_end():
    """A second final of the same speech moves the time; a final of later noise does not."""
    measured = measure(
        played(
            ServerEvent(3.8, "final", "one", start=1.4, end=3.1),
            ServerEvent(4.1, "final", "two three", start=2.0, end=3.5),
            ServerEvent(6.0, "final", "thank you", start=4.5, end=5.0),
        ),
        words,
    )

    assert measured.ttfs == pytest.approx(0.7)


def test_ttfs_without_sample_positions_takes_a_final_after_the_end():
    """Servers that do not say what a final covers are taken at the time it comes."""
    assert measure(
        played(ServerEvent(3.3, "final", "one"), ServerEvent(3.9, "final", "two")), words
    ).ttfs == pytest.approx(0.5)


def test_voice_to_voice_ignores_a_reply_before_the_final():
    """Only sound behind the final answers it."""
    one = played(ServerEvent(3.5, "reply"), ServerEvent(4.0, "final", "one two three"), reply=True)

    assert measure(one, words).voice_to_voice is None
    assert not one.answered()
