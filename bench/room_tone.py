"""Synthesize room tone: noise with the spectrum and level of a recording's background."""

import numpy as np
from numpy.typing import NDArray

from app.domain.audio import SAMPLE_RATE

FRAME = 512
QUIETEST, LOUDEST = -84.0, -60.0
"""Bounds of the level, in dB below full scale: never digital silence, never louder than a quiet room."""


def room_tone(audio: NDArray[np.float32], seconds: float, floor_db: float) -> bytes:
    """Noise with the colour of the recording's quietest frames, as loud as its background within bounds."""
    shape = np.fft.rfft(np.random.default_rng(0).normal(size=int(seconds * SAMPLE_RATE)))
    colour = _background(audio)
    shape *= np.interp(np.linspace(0, 1, len(shape)), np.linspace(0, 1, len(colour)), colour)
    noise = np.fft.irfft(shape, int(seconds * SAMPLE_RATE))
    noise *= 10 ** (float(np.clip(floor_db, QUIETEST, LOUDEST)) / 20) / np.sqrt(np.mean(noise**2))
    return np.rint(noise * 32768).astype("<i2").tobytes()


def _background(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean spectrum of the quietest twentieth of the recording."""
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    frames -= frames.mean(axis=1, keepdims=True)
    quietest = frames[np.argsort(np.mean(frames**2, axis=1))[: max(3, len(frames) // 20)]]
    spectrum = np.sqrt(np.mean(np.abs(np.fft.rfft(quietest * np.hanning(FRAME), axis=1)) ** 2, axis=0))
    return np.asarray(spectrum + 1e-9)  # digital silence has no colour: it gets white noise
