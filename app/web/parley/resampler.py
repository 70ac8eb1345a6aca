"""A client's audio at the service's rate, without a seam between packets."""

import numpy as np
import soxr

from app.domain.audio import SAMPLE_RATE, AudioChunk


class Resampler:
    """Stateful: one per session. A client may change its rate at any packet."""

    def __init__(self) -> None:
        self._rate = SAMPLE_RATE
        self._stream: soxr.ResampleStream | None = None
        self._position = 0

    def push(self, pcm: bytes, rate: int) -> list[AudioChunk]:
        """This packet at 16 kHz, with what a change of rate leaves behind before it."""
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
        rest: bytes = self._stream.resample_chunk(_samples(b""), last=True).tobytes()
        self._stream = None
        return rest

    def _chunks(self, pieces: list[bytes]) -> list[AudioChunk]:
        chunks = []
        for pcm in filter(None, pieces):
            chunks.append(AudioChunk(pcm, self._position))
            self._position = chunks[-1].end
        return chunks


def _samples(pcm: bytes) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.frombuffer(pcm, dtype="<i2")
