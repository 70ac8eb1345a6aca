"""Input of the speaker embedder: windows in which somebody speaks."""

import numpy as np
import pytest

from providers.local.speaker.features import BANDS, STRIDE, WINDOW, voice_windows

RANDOM = np.random.default_rng(3)
SECOND = 16_000


def noise(seconds, level):
    return RANDOM.normal(0.0, level, int(seconds * SECOND)).astype(np.float32)


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 5_000])
def test_audio_shorter_than_a_window_is_one_window(samples):
    """It is padded."""
    assert voice_windows(noise(1, 0.1)[:samples]).shape == (1, WINDOW, BANDS)


def test_windows_overlap_by_half():
    """The second half of one is the first half of the next."""
    windows = voice_windows(noise(4, 0.1))

    assert len(windows) == 1 + (4 * 100 - 3 - WINDOW) // STRIDE
    assert np.array_equal(windows[0][STRIDE:], windows[1][: WINDOW - STRIDE])


def test_windows_of_silence_are_left_out():
    """What is three decades quieter than the loudest window is no speech; a quiet voice is."""
    loud, quiet, silent = noise(2, 0.1), noise(2, 0.01), noise(2, 0.0001)

    assert len(voice_windows(np.concatenate((loud, quiet)))) == len(voice_windows(noise(4, 0.1)))
    assert len(voice_windows(np.concatenate((silent, loud, silent)))) < len(voice_windows(noise(3.5, 0.1)))


def test_power_of_a_tone_is_in_the_band_of_its_pitch():
    """1 kHz is mel 15 of Slaney's scale, whose 40 bands end at 8 kHz with mel 45."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(SECOND) / SECOND).astype(np.float32)

    assert int(voice_windows(tone)[0].mean(axis=0).argmax()) == round(15 / 45.2456 * 41) - 1
