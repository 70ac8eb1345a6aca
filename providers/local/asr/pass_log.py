"""The newest passes of live sessions at one model, with the machine time that each of them took."""

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.capacity import PassTiming
from providers.local.inference_pool import InferencePool

_KEPT = 32
"""Passes that are kept: a quarter of a minute or so of one person's drafts."""


class PassLog:
    """Worker threads write it, and any thread may read it."""

    def __init__(self) -> None:
        self._timings: deque[PassTiming] = deque(maxlen=_KEPT)

    @property
    def timings(self) -> tuple[PassTiming, ...]:
        """Oldest first."""
        return tuple(self._timings.copy())  # because no thread can write between two steps of copy()

    @contextmanager
    def timed(self, pool: InferencePool, recordings: Sequence[bytes]) -> Generator[None, None, None]:
        """On a worker of this pool: time a pass over this audio, 16 kHz PCM each. A pass that fails is not kept."""
        began = pool.time()
        yield
        ended = pool.time()
        wall_s, requests = ended.wall_s - began.wall_s, len(recordings)
        self._timings.append(
            PassTiming(
                requests,
                sum(map(len, recordings)) / BYTES_PER_SAMPLE / SAMPLE_RATE,
                least_s=wall_s * requests / pool.concurrency,
                most_s=ended.shared_s - began.shared_s,
            )
        )
