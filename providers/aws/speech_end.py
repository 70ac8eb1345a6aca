"""Where the sound of an utterance stopped."""

from dataclasses import dataclass

import numpy as np

from app.domain.audio import ms

_FRAME = ms(20)
_LOUD = 0.05
"""A frame is sound when its peak is above this share of the loudest one: 26 dB below it."""


@dataclass(frozen=True, slots=True)
class SpeechEndTracker:
    """How loud an utterance has been, and where it was last loud; a position on its stream."""

    end: int
    loudest: int = 0

    def hear(self, pcm: bytes, start: int) -> "SpeechEndTracker":
        samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
        if not len(samples):
            return self
        peaks = np.maximum.reduceat(samples, range(0, len(samples), _FRAME))
        loudest = max(self.loudest, int(peaks.max()))
        (loud,) = np.nonzero(peaks >= max(1, _LOUD * loudest))
        end = start + min(len(samples), (int(loud[-1]) + 1) * _FRAME) if len(loud) else self.end
        return SpeechEndTracker(end, loudest)
