"""Log-mel columns, computed once."""

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from providers.local.mel import GrowingMel, MelFilters, samples_of, scaled

RANDOM = np.random.default_rng(7)
FILTERS = MelFilters(80)


def sound(samples):
    return (RANDOM.normal(0, 3000, samples)).astype("<i2").tobytes()


@pytest.mark.parametrize("samples", [201, 8_000, 50_000])
def test_columns_are_those_whisper_was_trained_with(samples):
    """Our columns are the reference implementation's, bit for bit."""
    pcm = sound(samples)
    frames = -(-samples // 160)
    reference = FeatureExtractor()(samples_of(pcm), padding=400)[:, :frames]

    assert np.array_equal(scaled(FILTERS.columns(samples_of(pcm)), 3000)[:, :frames], reference)


@pytest.mark.parametrize("step", [37, 160, 801, 8_000])
def test_columns_of_a_growing_utterance_are_those_of_the_whole(step):
    """What was computed for earlier sound is kept, and nothing of it is wrong."""
    pcm = sound(20_000)
    grown = GrowingMel(FILTERS)
    for end in range(step, 20_001, step):
        grown = grown.hear(pcm[: 2 * end])
    grown = grown.hear(pcm)

    np.testing.assert_allclose(grown.power, FILTERS.columns(samples_of(pcm)), atol=1e-5)


def test_another_utterance_starts_anew():
    """Columns of one utterance never stand in another's."""
    grown = GrowingMel(FILTERS).hear(sound(16_000))
    pcm = sound(18_000)

    assert np.array_equal(grown.hear(pcm).power, FILTERS.columns(samples_of(pcm)))


@pytest.mark.parametrize("samples", [0, 1, 50, 199, 200, 399])
def test_a_few_samples_are_no_trouble(samples):
    """The shortest sounds have columns too."""
    assert FILTERS.columns(samples_of(sound(samples))).shape == (80, -(-samples // 160))
