"""Where the sound of an utterance stopped."""

from dataclasses import dataclass

from app.domain.audio import ms

_FRAME = ms(20)
_LOUD = 0.05
"""A frame is sound when its peak is above this share of the loudest one: 26 dB below it."""


@dataclass(frozen=True, slots=True)
class Sound:
    """How loud an utterance has been, and where it was last loud; a position on its stream."""

    end: int
    loudest: int = 0

    def hear(self, pcm: bytes, start: int) -> "Sound":
        samples = memoryview(pcm).cast("h")
        end, loudest = self.end, self.loudest
        for at in range(0, len(samples), _FRAME):
            frame = samples[at : at + _FRAME]
            highest, lowest = max(frame), min(frame)
            peak = max(highest, -lowest)
            loudest = max(loudest, peak)
            if peak and peak >= _LOUD * loudest:
                end = start + at + len(frame)
        return Sound(end, loudest)
