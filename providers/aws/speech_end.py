"""Tracks where the sound of an utterance stopped."""

from dataclasses import dataclass

import numpy as np

from app.domain.audio import ms

_FRAME = ms(20)
_THRESHOLD = 0.05
"""A frame is sound when its peak is above this share of the loudest one: 26 dB below it."""


@dataclass(frozen=True, slots=True)
class SpeechEndTracker:
    """The loudest peak of an utterance so far, and where it was last loud."""

    end: int
    """A position on the stream, in samples."""
    loudest: int = 0

    def push(self, pcm: bytes, start: int) -> "SpeechEndTracker":
        """With this PCM, whose first sample stands at `start` on the stream."""
        samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
        if not len(samples):
            return self
        peaks = np.maximum.reduceat(samples, range(0, len(samples), _FRAME))
        loudest = max(self.loudest, int(peaks.max()))
        (loud,) = np.nonzero(peaks >= max(1, _THRESHOLD * loudest))
        end = start + min(len(samples), (int(loud[-1]) + 1) * _FRAME) if len(loud) else self.end
        return SpeechEndTracker(end, loudest)
