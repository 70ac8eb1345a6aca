"""What this machine can do with a model: a sentence, timed at start."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np

from app.domain.audio import SAMPLE_RATE
from app.domain.capacity import ModelSpeed

WARMING = 3 * SAMPLE_RATE
"""Samples of noise that warm a model nobody wants timed."""

_TIMES = 3


def noise() -> bytes:
    """Sound to warm a model with."""
    sound = np.random.default_rng(0).normal(0.0, 0.05, WARMING)
    return (sound * 32767).astype("<i2").tobytes()


def speed(
    seconds: float, final: Callable[[], str], draft: Callable[[str], str], *, batch: int, at_once: int
) -> ModelSpeed:
    """Time both kinds of pass, `batch` asks each, over a sound of so many seconds; the first final only warms.

    `at_once` of them run side by side, because each is slower in company. A draft is given the first half of the
    words, as if earlier drafts had agreed on them.
    """
    words = final().split()
    known = " ".join(words[: len(words) // 2])
    with ThreadPoolExecutor(at_once) as beside:

        def timed(work: Callable[[], str]) -> float:
            """The middle one of a few times: what else runs here may spoil one of them."""
            return median(_taken(beside, [work] * at_once) for _ in range(_TIMES)) / batch

        return ModelSpeed(seconds, timed(final), timed(lambda: draft(known)), at_once)


def _taken(beside: ThreadPoolExecutor, works: list[Callable[[], str]]) -> float:
    begun = time.perf_counter()
    for done in [beside.submit(work) for work in works]:
        done.result()
    return time.perf_counter() - begun
