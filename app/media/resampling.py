"""Streaming conversion of sample rates, without a discontinuity between the pieces of a stream.

The filter works in floats, because soxr adds a dither to whole numbers that is another one for every stream: the same
audio gives the same samples, however it is cut into pieces, and silence stays silence.
"""

from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

from app.domain.audio import SAMPLE_RATE, AudioChunk


@dataclass(slots=True)
class RateConverter:
    """Stateful: one per stream of mono PCM16. At equal rates, audio passes unchanged."""

    rate: int
    """Samples per second that come in."""
    to: int
    """Samples per second that go out."""
    _stream: soxr.ResampleStream | None = None

    def push(self, pcm: bytes) -> bytes:
        """What these samples add to the stream at the new rate; the filter holds the newest few back."""
        if self.rate == self.to:
            return pcm
        if self._stream is None:
            self._stream = soxr.ResampleStream(self.rate, self.to, 1, dtype="float32")
        return _pcm(self._stream.resample_chunk(_samples(pcm)))

    def flush(self) -> bytes:
        """What the filter holds, at the end of the stream; another stream may follow."""
        if self._stream is None:
            return b""
        held = _pcm(self._stream.resample_chunk(_samples(b""), last=True))
        self._stream = None
        return held


@dataclass(slots=True)
class Resampler:
    """A client's audio at 16 kHz: one per session. `start` counts 16 kHz samples of the session."""

    _converter: RateConverter = field(default_factory=lambda: RateConverter(SAMPLE_RATE, SAMPLE_RATE))
    _position: int = 0

    def push(self, pcm: bytes, rate: int) -> list[AudioChunk]:
        """This PCM16 at 16 kHz; before it, where the rate changes, what the filter still holds at the old rate."""
        pieces = []
        if rate != self._converter.rate:
            pieces.append(self._converter.flush())
            self._converter = RateConverter(rate, SAMPLE_RATE)
        pieces.append(self._converter.push(pcm))
        return self._chunks(pieces)

    def flush(self) -> list[AudioChunk]:
        """What is still in the filter, at the end of a turn or of the session; audio may follow."""
        return self._chunks([self._converter.flush()])

    def _chunks(self, pieces: list[bytes]) -> list[AudioChunk]:
        chunks = []
        for pcm in filter(None, pieces):
            chunks.append(AudioChunk(pcm, self._position))
            self._position = chunks[-1].end
        return chunks


def _samples(pcm: bytes) -> NDArray[np.float32]:
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32)


def _pcm(samples: NDArray[np.float32]) -> bytes:
    return np.rint(samples).clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()
