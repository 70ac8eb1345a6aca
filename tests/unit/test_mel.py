"""The log-mel spectrogram."""

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from providers.local.mel import MelFilters, encoder_features, mel_filters, samples_of

RANDOM = np.random.default_rng(7)
FILTERS = MelFilters(80)


def noise(samples):
    return (RANDOM.normal(0, 3000, samples)).astype("<i2").tobytes()


@pytest.mark.parametrize("bands", [80, 128])
def test_mel_filters_are_those_whisper_was_trained_with(bands):
    """The reference implementation's, bit for bit."""
    assert np.array_equal(mel_filters(bands), FeatureExtractor.get_mel_filters(16_000, 400, bands).astype(np.float32))


@pytest.mark.parametrize("samples", [201, 8_000, 50_000])
def test_log_mel_frames_are_those_whisper_was_trained_with(samples):
    """The reference implementation's, bit for bit."""
    pcm = noise(samples)
    frames = -(-samples // 160)
    reference = FeatureExtractor()(samples_of(pcm), padding=400)[:, :frames]

    features = encoder_features(FILTERS.log_mel(samples_of(pcm)), 3000)

    assert np.array_equal(features[:, :frames], reference)


@pytest.mark.parametrize("samples", [0, 1, 50, 199, 200, 399])
def test_log_mel_of_less_than_one_window(samples):
    """The shortest audio has frames too."""
    assert FILTERS.log_mel(samples_of(noise(samples))).shape == (80, -(-samples // 160))
