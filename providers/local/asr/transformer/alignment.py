"""When each token was spoken: dynamic time warping of cross-attention, as in openai/whisper's `timing.py`. Pure.

Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition" (1978), over the attention of
a few heads that follow the words.
"""

import numpy as np
from numpy.typing import NDArray

from providers.local.asr.transformer.quantization import Floats

_MEDIAN_WIDTH = 7
"""Positions over which attention is smoothed."""


def smoothed(weights: Floats) -> Floats:
    """The median of each weight and its neighbours along the last axis, (heads, tokens, T)."""
    pad = _MEDIAN_WIDTH // 2
    if weights.shape[-1] <= pad:
        return weights
    padded = np.pad(weights, ((0, 0), (0, 0), (pad, pad)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _MEDIAN_WIDTH, axis=2)
    median: Floats = np.partition(windows, pad, axis=3)[..., pad]
    return median


def standardized(weights: Floats) -> Floats:
    """Each head's weights of a position with mean 0 and deviation 1 over the tokens."""
    deviations = weights.std(-2, keepdims=True) + np.float32(1e-9)
    standard: Floats = (weights - weights.mean(-2, keepdims=True)) / deviations
    return standard


def first_positions(scores: Floats) -> NDArray[np.intp]:
    """For each token the position where its part of the audio begins; it never decreases. Shape (tokens,).

    `scores` (tokens, T) tell how well a token fits a position. The path that fits best moves on by a token, a position
    or both at each step.
    """
    tokens, positions = scores.shape
    costs = -scores.astype(np.float64)
    from_above = np.zeros((tokens, positions), np.bool_)
    is_diagonal = np.zeros((tokens, positions), np.bool_)
    before = np.full(positions, np.inf)
    for token in range(tokens):
        diagonal = np.concatenate(([0.0 if token == 0 else np.inf], before[:-1]))
        entered = np.minimum(diagonal, before)
        # The least cost of coming to position p along the row is the least of entering it at q <= p.
        row = np.cumsum(costs[token])
        behind = entered - np.concatenate(([0.0], row[:-1]))
        least = np.minimum.accumulate(behind)
        from_above[token], is_diagonal[token] = behind <= least, diagonal <= before
        before = row + least
    first = np.zeros(tokens, np.intp)
    token, position = tokens - 1, positions - 1
    while token >= 0:
        while position > 0 and not from_above[token, position]:
            position -= 1
        first[token] = position
        position -= bool(is_diagonal[token, position]) and position > 0
        token -= 1
    return first
