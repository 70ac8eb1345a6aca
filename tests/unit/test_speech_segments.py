"""Speech segments of a recording, and the chunks they are decoded in."""

from itertools import pairwise

import pytest

from app.domain.audio import SAMPLE_RATE
from providers.local.vad.silero import FRAME
from providers.local.vad.speech_segments import chunk_segments, speech_segments

SECOND = SAMPLE_RATE


def probabilities(*stretches):
    """(seconds, probability) one after the other."""
    return [p for seconds, p in stretches for _ in range(round(seconds * SAMPLE_RATE / FRAME))]


def chunks(given, longest=28, joined=15):
    return chunk_segments(given, len(given) * FRAME, max_samples=longest * SECOND, join_up_to=joined * SECOND)


def test_silence_has_no_chunks():
    """Nothing is decoded where nobody speaks."""
    assert chunks(probabilities((60, 0.1))) == ()


def test_short_pause_does_not_end_a_speech_segment():
    """Longer pauses do."""
    given = probabilities((2, 0.9), (0.2, 0.1), (2, 0.9), (2, 0.1), (1, 0.9))

    assert len(speech_segments(given, len(given) * FRAME)) == 2


def test_speech_segments_are_joined_into_chunks():
    """Sentences close together are decoded together."""
    given = probabilities(*[(4, 0.9), (1, 0.0)] * 6)

    assert [round((span.end - span.start) / SECOND) for span in chunks(given)] == [14, 14]


@pytest.mark.parametrize("seconds", [29, 100, 600])
def test_speech_without_a_pause_is_cut_at_the_lowest_probability(seconds):
    """Minutes without a pause come in chunks that fit, and no sample of them is lost."""
    given = probabilities(*[(0.96, 0.95), (0.032, 0.6)] * seconds)

    spans = chunks(given)

    assert all(span.end - span.start <= 28 * SECOND for span in spans)
    assert all(one.end == other.start for one, other in pairwise(spans))
    assert all(given[span.end // FRAME] == 0.6 for span in spans[:-1])


def test_chunks_never_overlap():
    """No word is decoded twice."""
    spans = chunks(probabilities(*[(3, 0.9), (0.4, 0.0), (20, 0.9), (0.35, 0.2)] * 5))

    assert all(one.end <= other.start for one, other in pairwise(spans))
