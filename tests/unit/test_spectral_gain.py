"""The filter that changes from block to block: it delays by one block, loses nothing, and follows its gains."""

import numpy as np
import pytest

from providers.local.vad.spectral_gain import SpectralGain

WINDOW, BLOCK = 512, 256


def filtered(audio, gains, taken):
    """`audio` through the filter, taken as it would come in chunks of `taken` samples."""
    gain, held, out = SpectralGain(WINDOW, BLOCK), np.zeros(0, np.float32), []
    for at in range(0, len(audio), taken):
        chunk = audio[at : at + taken]
        held = np.concatenate([held, chunk])
        while len(held) >= WINDOW:
            gain.push(held[:WINDOW], gains)
            held = held[BLOCK:]
        out.append(gain.take(len(chunk)))
        assert len(out[-1]) == len(chunk)
    return np.concatenate(out)


@pytest.fixture
def noise():
    return np.random.default_rng(3).normal(size=20 * BLOCK).astype(np.float32)


@pytest.mark.parametrize("taken", [100, 256, 320, 1000])
def test_full_gain_only_delays(noise, taken):
    out = filtered(noise, np.ones(BLOCK + 1, np.float32), taken)

    assert out[2 * BLOCK :] == pytest.approx(noise[BLOCK:-BLOCK], abs=1e-5)


def test_frequencies_without_gain_are_gone():
    """A low and a high tone; the gains fall smoothly between them."""
    time = np.arange(40 * BLOCK) / 16_000
    low, high = np.sin(2 * np.pi * 500 * time), np.sin(2 * np.pi * 6000 * time)
    gains = np.clip(np.linspace(2, -1, BLOCK + 1), 0, 1).astype(np.float32)

    out = filtered((low + high).astype(np.float32), gains, BLOCK)

    left = out[4 * BLOCK :]
    assert np.std(left - low[3 * BLOCK : -BLOCK]) < 0.2 * np.std(high)


def test_no_gain_is_silence_behind_one_fade(noise):
    out = filtered(noise, np.zeros(BLOCK + 1, np.float32), BLOCK)

    assert np.abs(out[3 * BLOCK :]).max() < 1e-6
