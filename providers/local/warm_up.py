"""Audio to warm a model with: the first pass after loading is the slowest, so it is run before anyone waits for it."""

import numpy as np

from app.domain.audio import SAMPLE_RATE

_SAMPLES = 3 * SAMPLE_RATE


def warm_up_pcm() -> bytes:
    """Three seconds of white noise at about -26 dBFS, 16 kHz mono s16le; the same at every call."""
    noise = np.random.default_rng(0).normal(0.0, 0.05, _SAMPLES)
    return (noise * 32767).astype("<i2").tobytes()
