"""Whisper's input features: the log-mel spectrogram, one frame every 10 ms.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 2.2: 25 ms windows, a hop
of 10 ms, mel bands in Slaney's scale, the log power clamped to 8 decades below its maximum.
"""

import numpy as np
from numpy.typing import NDArray

from app.domain.audio import SAMPLE_RATE

Samples = NDArray[np.float32]
"""Shape (n,): audio from -1 to 1 at 16 kHz."""

LogMel = NDArray[np.float32]
"""Shape (bands, frames)."""

HOP = 160
"""Samples from one frame to the next."""

FRAMES_PER_S = SAMPLE_RATE // HOP

_FFT = 400
_FULL_SCALE = 32768.0
_WINDOW = np.hanning(_FFT + 1)[:-1].astype(np.float32)
_MIN_POWER, _MIN_LOG_POWER = np.float32(1e-10), np.float32(-10.0)
_DYNAMIC_RANGE = np.float32(8.0)
"""Decades."""


def samples_of(pcm: bytes) -> Samples:
    """16-bit little-endian PCM as floats; half a sample at the end is dropped."""
    whole = len(pcm) // 2 * 2
    return np.frombuffer(pcm[:whole], "<i2").astype(np.float32) / np.float32(_FULL_SCALE)


def mel_filters(bands: int, fft: int = _FFT) -> NDArray[np.float32]:
    """Triangular filters, shape (bands, fft // 2 + 1): Slaney's mel scale to 8 kHz, of equal area, as in librosa.

    Linear up to 1 kHz at 200/3 Hz a mel, logarithmic above with 27 mels from 1 to 6.4 kHz.
    """
    linear, split_hz, log_step = 200.0 / 3, 1000.0, np.log(6.4) / 27.0
    split, top = split_hz / linear, 45.245640471924965
    mels = np.linspace(0.0, top, bands + 2)
    hertz = np.where(mels < split, mels * linear, split_hz * np.exp(log_step * (mels - split)))
    ramps = hertz[:, None] - np.fft.rfftfreq(fft, 1.0 / SAMPLE_RATE)[None, :]
    widths = np.diff(hertz)[:, None]
    triangles = np.maximum(0.0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]))
    filters: NDArray[np.float32] = (triangles * (2.0 / (hertz[2:] - hertz[:-2]))[:, None]).astype(np.float32)
    return filters


class MelFilters:
    """Computes log-mel frames with the bands a model was trained with: 80, or 128 since large-v3."""

    def __init__(self, bands: int) -> None:
        self._filters = mel_filters(bands)

    def log_mel(self, samples: Samples) -> LogMel:
        """ceil(n / HOP) frames of log10 power for n samples, which are taken to be followed by silence."""
        frames = -(-len(samples) // HOP)
        behind = frames * HOP - len(samples) + _FFT // 2
        before = samples[_FFT // 2 : 0 : -1] if len(samples) > _FFT // 2 else np.zeros(_FFT // 2, np.float32)
        padded = np.concatenate((before, samples, np.zeros(behind, np.float32)))
        return self._log_power(padded)[:, :frames]

    def _log_power(self, samples: Samples) -> LogMel:
        """log10 of the power per band of every whole window in `samples`; nothing is padded."""
        frames = 1 + (len(samples) - _FFT) // HOP
        windows = np.lib.stride_tricks.sliding_window_view(samples, _FFT)[::HOP][:frames]
        spectrum = np.fft.rfft(windows * _WINDOW, axis=-1)
        power = np.abs(spectrum).astype(np.float32) ** 2
        logarithm: LogMel = np.log10(np.maximum(self._filters @ power.T, _MIN_POWER))
        return logarithm


def encoder_features(log_mel: LogMel, frames: int) -> LogMel:
    """The encoder's input (bands, frames): clamped to 8 decades, scaled to about -1..1, padded with silence."""
    minimum = max(_MIN_LOG_POWER, log_mel.max(initial=_MIN_LOG_POWER) - _DYNAMIC_RANGE)
    features = np.full((log_mel.shape[0], frames), minimum, np.float32)
    kept = min(frames, log_mel.shape[1])
    np.maximum(log_mel[:, :kept], minimum, out=features[:, :kept])
    features += np.float32(4.0)
    features /= np.float32(4.0)
    return features
