"""When each word was spoken, by the attention of Moonshine's decoder. Pure."""

from collections.abc import Sequence

import numpy as np

from app.domain.audio import SAMPLE_RATE
from providers.local.asr.moonshine.layout import SAMPLES_PER_POSITION
from providers.local.asr.recognizer import TimedWord
from providers.local.asr.transformer.alignment import first_positions, smoothed, standardized
from providers.local.asr.transformer.quantization import Floats

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
    weights = attention / np.maximum(attention.sum(-1, keepdims=True), 1e-9)
    positions = first_positions(standardized(smoothed(weights)).mean(0))
    edges = [*starts, min(len(positions) - 1, attention.shape[1] - 1)]
    times = [max(0.0, float(positions[min(edge, len(positions) - 1)]) * _POSITION_S - offset_s) for edge in edges]
    return tuple(
        TimedWord(f" {word}", times[n], max(times[n], times[n + 1]), probability)
        for n, (word, probability) in enumerate(zip(words, probabilities, strict=True))
    )
