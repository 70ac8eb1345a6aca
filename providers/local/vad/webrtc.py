"""Is someone speaking? WebRTC's detector: a Gaussian mixture, microseconds a frame."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import webrtcvad

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk, ScoredChunk, ms
from app.domain.errors import SettingsError
from providers.local.vad.frames import framed

FRAME = ms(20)
"""Samples the detector looks at."""

_REMEMBERED = 5
"""Frames whose mean is the score: one stray frame of 20 ms is no speech yet."""


class WebrtcDetector:
    """Scores frames of 20 ms by the share of the newest few in which WebRTC heard speech."""

    def __init__(self, aggressiveness: int) -> None:
        self._aggressiveness = aggressiveness

    async def score(self, audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[ScoredChunk, None]:
        vad = webrtcvad.Vad(self._aggressiveness)
        newest = deque([0.0] * _REMEMBERED, maxlen=_REMEMBERED)
        async for frame in framed(audio, FRAME):
            whole = frame.pcm.ljust(FRAME * BYTES_PER_SAMPLE, b"\0")
            newest.append(float(vad.is_speech(whole, SAMPLE_RATE)))
            yield ScoredChunk(frame, sum(newest) / _REMEMBERED)


@asynccontextmanager
async def open_webrtc_vad(*, aggressiveness: int = 2) -> AsyncIterator[WebrtcDetector]:
    """Open the detector; 0 lets most through as speech, 3 the least."""
    if aggressiveness not in range(4):
        raise SettingsError(f"the aggressiveness of webrtc's detector is 0 to 3, not {aggressiveness}")
    yield WebrtcDetector(aggressiveness)
