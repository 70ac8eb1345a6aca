"""Speaker labels: utterances are put together by the direction of their voices."""

from math import cos, radians, sin

from hypothesis import given
from hypothesis import strategies as st

from app.domain.speakers import MAX_SPEAKERS, MIN_SPEECH, Speakers

LONG, SHORT = 2 * MIN_SPEECH, MIN_SPEECH - 1


def voice(degrees: float) -> tuple[float, float]:
    return cos(radians(degrees)), sin(radians(degrees))


def labels(*utterances, speakers=None):
    """The label of each (degrees, samples of speech) in turn."""
    speakers, given = speakers or Speakers(), []
    for degrees, speech in utterances:
        speakers, label = speakers.label(voice(degrees), speech)
        given.append(label)
    return given


def test_voices_are_numbered_in_the_order_they_spoke_first():
    """Who comes back has the same number."""
    assert labels((0, LONG), (90, LONG), (5, LONG), (180, LONG), (85, LONG)) == [1, 2, 1, 3, 2]


def test_a_voice_up_to_the_largest_distance_is_a_known_one():
    """1 - cos 50 degrees is 0.357, 1 - cos 53 is 0.398; the limit lies between them."""
    limit = Speakers(max_distance=0.38)

    assert labels((0, LONG), (50, LONG), speakers=limit) == [1, 1]
    assert labels((0, LONG), (53, LONG), speakers=limit) == [1, 2]


def test_the_nearest_of_several_known_voices_is_taken():
    """Not the first within the distance."""
    assert labels((0, LONG), (80, LONG), (45, LONG)) == [1, 2, 2]


def test_a_mean_follows_its_speaker():
    """A voice that drifts stays itself, where the first utterance alone would be too far away."""
    assert labels((0, LONG), (45, LONG), (70, LONG)) == [1, 1, 1]
    assert labels((0, LONG), (70, LONG)) == [1, 2]


def test_a_short_utterance_makes_no_speaker():
    """It has the label of a known voice or none, and moves no mean."""
    assert labels((0, SHORT)) == [None]
    assert labels((0, LONG), (90, SHORT), (10, SHORT)) == [1, None, 1]
    assert labels((0, LONG), (45, SHORT), (70, LONG)) == [1, 1, 2]


def test_there_are_no_more_speakers_than_the_limit():
    """A voice beyond it has no label; the known ones keep theirs."""
    speakers = Speakers(max_distance=0.001)
    apart = [(degree * 5, LONG) for degree in range(MAX_SPEAKERS + 1)]

    assert labels(*apart, apart[3], speakers=speakers) == [*range(1, MAX_SPEAKERS + 1), None, 4]


def test_an_embedding_of_zeros_is_nobody_known():
    """And breaks nothing."""
    speakers, label = Speakers().label((0.0, 0.0), LONG)

    assert label == 1
    assert speakers.label(voice(0), LONG)[1] == 2


@given(st.lists(st.tuples(st.floats(0, 360), st.integers(0, 2 * MIN_SPEECH)), max_size=60))
def test_labels_are_always_numbers_that_were_given_before_or_the_next_one(utterances):
    """Whatever is said."""
    highest = 0
    for label in labels(*utterances):
        assert label is None or 1 <= label <= min(highest + 1, MAX_SPEAKERS)
        highest = max(highest, label or 0)
