"""Speech probability of a stream by WebRTC's VAD: a Gaussian mixture model, microseconds a frame."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import webrtcvad

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk, ScoredChunk, ms
from app.domain.errors import SettingsError
from providers.local.vad.frames import reframe

FRAME = ms(20)
"""Samples in a frame."""

_SMOOTHED = 5
"""Frames whose mean is the score: a single frame of 20 ms is no speech yet."""


class WebrtcDetector:
    """A SpeechDetector with frames of 20 ms, scored by the share of the newest five that WebRTC calls speech."""

    def __init__(self, aggressiveness: int) -> None:
        self._aggressiveness = aggressiveness

    async def score(self, audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[ScoredChunk, None]:
        """Every sample of `audio` once, in frames with their score (0 to 1)."""
        vad = webrtcvad.Vad(self._aggressiveness)
        newest = deque([0.0] * _SMOOTHED, maxlen=_SMOOTHED)
        async for frame in reframe(audio, FRAME):
            padded = frame.pcm.ljust(FRAME * BYTES_PER_SAMPLE, b"\0")
            newest.append(float(vad.is_speech(padded, SAMPLE_RATE)))
            yield ScoredChunk(frame, sum(newest) / _SMOOTHED)


@asynccontextmanager
async def open_webrtc_vad(*, aggressiveness: int = 2) -> AsyncIterator[WebrtcDetector]:
    """Open the detector; at aggressiveness 0 most passes as speech, at 3 the least. Raises SettingsError."""
    if aggressiveness not in range(4):
        raise SettingsError(f"the aggressiveness of webrtc's detector is 0 to 3, not {aggressiveness}")
    yield WebrtcDetector(aggressiveness)
