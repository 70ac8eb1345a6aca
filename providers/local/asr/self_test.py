"""Measure at start how fast a model is on this machine: finals and drafts of one sentence, timed."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from app.domain.capacity import ModelSpeed

_ROUNDS = 3


def measure_speed(
    sound_s: float, final: Callable[[], str], draft: Callable[[str], str], *, batch: int, workers: int
) -> ModelSpeed:
    """Time finals and drafts of `sound_s` seconds of audio, in batches of `batch`; the first final only warms.

    `workers` passes run at the same time, because each is slower in company. A draft is given the first half of the
    words, as if earlier drafts had agreed on them.
    """
    words = final().split()
    known = " ".join(words[: len(words) // 2])
    with ThreadPoolExecutor(workers) as threads:

        def seconds(work: Callable[[], str]) -> float:
            """The median of a few rounds: what else runs on this machine may spoil one of them."""
            return median(_round_s(threads, [work] * workers) for _ in range(_ROUNDS)) / batch

        return ModelSpeed(sound_s, seconds(final), seconds(lambda: draft(known)), workers)


def _round_s(threads: ThreadPoolExecutor, works: list[Callable[[], str]]) -> float:
    began = time.perf_counter()
    for future in [threads.submit(work) for work in works]:
        future.result()
    return time.perf_counter() - began
