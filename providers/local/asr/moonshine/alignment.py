"""When each word was spoken: dynamic time warping of cross-attention, as in openai/whisper's `timing.py`. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.audio import SAMPLE_RATE
from providers.local.asr.moonshine.layout import SAMPLES_PER_POSITION
from providers.local.asr.recognizer import TimedWord
from providers.local.asr.transformer.quantization import Floats

_MEDIAN_WIDTH = 7
"""Positions over which attention is smoothed."""

_POSITION_S = SAMPLES_PER_POSITION / SAMPLE_RATE


def timed_words(
    words: Sequence[str], starts: Sequence[int], probabilities: Sequence[float], attention: Floats, offset_s: float
) -> tuple[TimedWord, ...]:
    """The words with their times, in seconds of audio that begins `offset_s` behind the encoder's first position.

    `starts` are the indexes of the tokens that begin the words; `attention` (heads, tokens or more, T) is where each
    token was attended.
    """
    if not words:
        return ()
    positions = first_positions(attention)
    edges = [*starts, min(len(positions) - 1, attention.shape[1] - 1)]
    times = [max(0.0, float(positions[min(edge, len(positions) - 1)]) * _POSITION_S - offset_s) for edge in edges]
    return tuple(
        TimedWord(f" {word}", times[n], max(times[n], times[n + 1]), probability)
        for n, (word, probability) in enumerate(zip(words, probabilities, strict=True))
    )


def first_positions(attention: Floats) -> NDArray[np.intp]:
    """For each token the position where its part of the audio begins; it never decreases. Shape (tokens,)."""
    weights = attention / np.maximum(attention.sum(-1, keepdims=True), 1e-9)
    pad = _MEDIAN_WIDTH // 2
    padded = np.pad(weights, ((0, 0), (0, 0), (pad, pad)), mode="edge")
    weights = np.median(np.lib.stride_tricks.sliding_window_view(padded, _MEDIAN_WIDTH, axis=2), axis=3)
    weights = (weights - weights.mean(-2, keepdims=True)) / (weights.std(-2, keepdims=True) + 1e-9)
    return _warp(-weights.mean(0))


def _warp(cost: NDArray[np.floating]) -> NDArray[np.intp]:
    """The monotonic path of least cost through (tokens, T); for each token its first position."""
    tokens, positions = cost.shape
    best = np.full((tokens + 1, positions + 1), np.inf)
    best[0, 0] = 0.0
    step = np.zeros((tokens + 1, positions + 1), np.int8)
    for token in range(1, tokens + 1):
        costs, above, row = cost[token - 1].tolist(), best[token - 1].tolist(), [np.inf]
        for position in range(1, positions + 1):
            options = (above[position - 1], above[position], row[position - 1])
            least = min(options)
            step[token, position] = options.index(least)
            row.append(costs[position - 1] + least)
        best[token] = row
    first = np.zeros(tokens, np.intp)
    token, position = tokens, positions
    while token > 0 and position > 0:
        first[token - 1] = position - 1
        match step[token, position]:
            case 0:
                token, position = token - 1, position - 1
            case 1:
                token -= 1
            case _:
                position -= 1
    return first
