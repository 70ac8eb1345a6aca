"""Synthetic clips and server events for the tests of the benchmarks."""

import numpy as np

from app.domain.audio import SAMPLE_RATE
from bench.clips import Clip
from bench.protocols import ServerEvent
from bench.voice import PlayedClip


def sound(seconds: float, *, level_db: float) -> np.ndarray:
    """White noise of this level."""
    noise = np.random.default_rng(1).normal(size=round(seconds * SAMPLE_RATE)) * 10 ** (level_db / 20)
    return noise.astype(np.float32)


def pcm(audio: np.ndarray) -> bytes:
    return np.rint(audio * 32767).astype("<i2").tobytes()


def clip(text: str = "one two three", *, onset: float = 0.1, end: float = 0.3, seconds: float = 0.4) -> Clip:
    tone = bytes(round(15 * SAMPLE_RATE) * 2)
    return Clip("made.flac", text, pcm(sound(seconds, level_db=-30)), onset, end, tone)


def played(*events: ServerEvent, text: str = "one two three", reply: bool = False) -> PlayedClip:
    """A clip whose speech lasts from 1.4 s to 3.4 s of the stream."""
    return PlayedClip(clip(text, onset=1.0, end=3.0), reply, events=list(events))


def words(text: str) -> list[str]:
    return text.lower().split()
