"""Streaming resampler: a client's audio at 16 kHz, without a discontinuity between packets."""

import numpy as np
import soxr

from app.domain.audio import SAMPLE_RATE, AudioChunk


class Resampler:
    """Stateful: one per session. The rate may change at any packet; `start` counts 16 kHz samples of the session."""

    def __init__(self) -> None:
        self._rate = SAMPLE_RATE
        self._stream: soxr.ResampleStream | None = None
        self._position = 0

    def push(self, pcm: bytes, rate: int) -> list[AudioChunk]:
        """This PCM16 at 16 kHz; before it, where the rate changes, what the filter still holds at the old rate."""
        pieces = []
        if rate != self._rate:
            pieces.append(self._drain())
            self._rate = rate
        if self._stream is None and rate != SAMPLE_RATE:
            self._stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="int16")
        pieces.append(pcm if self._stream is None else self._stream.resample_chunk(_samples(pcm)).tobytes())
        return self._chunks(pieces)

    def flush(self) -> list[AudioChunk]:
        """What is still in the filter, at the end of a turn or of the session; audio may follow."""
        return self._chunks([self._drain()])

    def _drain(self) -> bytes:
        if self._stream is None:
            return b""
        held: bytes = self._stream.resample_chunk(_samples(b""), last=True).tobytes()
        self._stream = None
        return held

    def _chunks(self, pieces: list[bytes]) -> list[AudioChunk]:
        chunks = []
        for pcm in filter(None, pieces):
            chunks.append(AudioChunk(pcm, self._position))
            self._position = chunks[-1].end
        return chunks


def _samples(pcm: bytes) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.frombuffer(pcm, dtype="<i2")
