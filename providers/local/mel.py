"""What Whisper hears with: the log-mel spectrogram, a column every 10 ms."""

from dataclasses import dataclass, field

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Sound as numbers from -1 to 1, 16,000 a second."""

Mel = NDArray[np.float32]
"""Shape (bands, frames)."""

HOP = 160
"""Samples from one column to the next."""

_FFT = 400
_FULL_SCALE = 32768.0
_WINDOW = np.hanning(_FFT + 1)[:-1].astype(np.float32)


def samples_of(pcm: bytes) -> Samples:
    """16-bit little-endian PCM as numbers; half a sample at the end is dropped."""
    whole = len(pcm) // 2 * 2
    return np.frombuffer(pcm[:whole], "<i2").astype(np.float32) / np.float32(_FULL_SCALE)


class MelFilters:
    """The triangular bands a model was trained with: 80, or 128 since large-v3."""

    def __init__(self, bands: int) -> None:
        self._filters: NDArray[np.float32] = FeatureExtractor.get_mel_filters(16_000, _FFT, bands).astype(np.float32)

    def power(self, sound: Samples) -> Mel:
        """log10 of the power per band of every whole window in `sound`; nothing is padded."""
        frames = 1 + (len(sound) - _FFT) // HOP
        windows = np.lib.stride_tricks.sliding_window_view(sound, _FFT)[::HOP][:frames]
        spectrum = np.fft.rfft(windows * _WINDOW, axis=-1)
        power = np.abs(spectrum).astype(np.float32) ** 2
        logarithm: Mel = np.log10(np.maximum(self._filters @ power.T, np.float32(1e-10)))
        return logarithm

    def columns(self, sound: Samples) -> Mel:
        """One column per HOP samples of `sound`, which is taken to be followed by silence."""
        frames = -(-len(sound) // HOP)
        behind = frames * HOP - len(sound) + _FFT // 2
        before = sound[_FFT // 2 : 0 : -1] if len(sound) > _FFT // 2 else np.zeros(_FFT // 2, np.float32)
        padded = np.concatenate((before, sound, np.zeros(behind, np.float32)))
        return self.power(padded)[:, :frames]


@dataclass(frozen=True, slots=True)
class GrowingMel:
    """The columns of an utterance that is still being spoken: old ones are kept, new ones computed."""

    filters: MelFilters
    pcm: bytes = b""
    power: Mel = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def hear(self, pcm: bytes) -> "GrowingMel":
        """The columns of all of `pcm`, which is usually what was heard before and more."""
        if not self.power.size or not pcm.startswith(self.pcm):
            return GrowingMel(self.filters, pcm, self.filters.columns(samples_of(pcm)))
        # The last columns looked at silence behind the sound that was known; they are computed again.
        kept = max(0, (len(self.pcm) // 2 - _FFT // 2) // HOP)
        first = max(0, kept * HOP - _FFT // 2) // HOP * HOP
        fresh = self.filters.columns(samples_of(pcm[first * 2 :]))
        skipped = kept - first // HOP
        if first == 0:
            return GrowingMel(self.filters, pcm, fresh)
        return GrowingMel(self.filters, pcm, np.concatenate((self.power[:, :kept], fresh[:, skipped:]), axis=1))


def scaled(power: Mel, frames: int) -> Mel:
    """Columns as the encoder wants them: 8 decades deep, shifted, with silence up to `frames`."""
    floor = power.max(initial=np.float32(-10.0)) - np.float32(8.0)
    out = np.full((power.shape[0], frames), max(np.float32(-10.0), floor), np.float32)
    kept = min(frames, power.shape[1])
    np.maximum(power[:, :kept], floor, out=out[:, :kept])
    out += np.float32(4.0)
    out /= np.float32(4.0)
    return out
