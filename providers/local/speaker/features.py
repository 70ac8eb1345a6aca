"""Input features of the speaker embedder: 40 mel bands of log power, one frame every 10 ms. Pure.

As the model was trained: windows of 25 ms in a Fourier transform of 512 points, nothing padded at the ends.
"""

import numpy as np
from numpy.typing import NDArray

from providers.local.mel import HOP, Samples, mel_filters

BANDS = 40

WINDOW = 80
"""Frames that the network sees at once: 0.8 s."""

STRIDE = 40
"""Frames from one window to the next."""

_FFT = 512
_HAMMING = 400
_MIN_POWER = 1e-10
_QUIET = 3.0
"""Decades below the loudest window: in what is quieter, nobody speaks."""

_angles = 2.0 * np.pi * np.arange(_HAMMING) / _HAMMING
_TAPER = np.pad(0.54 - 0.46 * np.cos(_angles), (_FFT - _HAMMING) // 2).astype(np.float32)
_FILTERS = mel_filters(BANDS, _FFT)

Windows = NDArray[np.float32]
"""Shape (windows, WINDOW, BANDS)."""


def voice_windows(samples: Samples) -> Windows:
    """The windows in which somebody speaks; at least one, which is padded where the audio is shorter."""
    frames = _log_mel(samples)
    if len(frames) < WINDOW:
        frames = np.pad(frames, ((0, WINDOW - len(frames)), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(frames, WINDOW, axis=0)[::STRIDE].transpose(0, 2, 1)
    loudness = windows.mean(axis=(1, 2))
    return np.ascontiguousarray(windows[loudness >= loudness.max() - _QUIET])


def _log_mel(samples: Samples) -> NDArray[np.float32]:
    """log10 of the power per band of every whole window, shape (frames, BANDS)."""
    if len(samples) < _FFT:
        samples = np.pad(samples, (0, _FFT - len(samples)))
    pieces = np.lib.stride_tricks.sliding_window_view(samples, _FFT)[::HOP]
    power = np.abs(np.fft.rfft(pieces * _TAPER, axis=-1)).astype(np.float32) ** 2
    log_mel: NDArray[np.float32] = np.log10(power @ _FILTERS.T + np.float32(_MIN_POWER))
    return log_mel
