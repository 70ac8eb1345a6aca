"""When each word was spoken, by the attention of Whisper's decoder, as in openai/whisper's `timing.py`. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

from providers.local.asr.recognizer import TimedWord
from providers.local.asr.transformer.alignment import first_positions, smoothed, standardized
from providers.local.asr.transformer.quantization import Floats
from providers.local.mel import FRAMES_PER_S

_POSITION_S = 2 / FRAMES_PER_S
"""Seconds of a position of the encoder's output, which has one for two frames."""

_UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})
"""Languages that put no space between words."""


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """When the tokens of a text were spoken, and how sure the decoder was of each."""

    starts_s: Sequence[float]
    """Of each token, and the end of the last one."""
    probabilities: Sequence[float]


def token_times(
    attention: Floats, is_text: NDArray[np.bool_], probabilities: Sequence[float], before: int, frames: int
) -> TokenTimes:
    """By `attention` (heads, tokens, T) of the tokens in the order in which they were read.

    The first `before` of them stand before the text, the last of these predicts its first token. `is_text` and
    `probabilities` are of each token of the text. `frames` is the audio's length, what lies behind it is padding.
    """
    positions = max(1, frames // 2)
    weights = attention[:, :, :positions]
    weights = weights / np.maximum(weights.sum(-1, keepdims=True), np.float32(1e-9))
    scores = smoothed(standardized(weights)).mean(0)[before - 1 :]
    # The last token of a text that did not end was not read: nothing tells where it ends.
    rows = np.concatenate((is_text, [True]))[: len(scores)]
    starts_s = [float(position) * _POSITION_S for position in first_positions(scores[rows])]
    missing = 1 + int(is_text.sum()) - len(starts_s)
    sure = [one for one, chosen in zip(probabilities, is_text, strict=True) if chosen]
    return TokenTimes([*starts_s, *[positions * _POSITION_S] * missing], sure)


def timed_words(tokenizer: Tokenizer, text: Sequence[int], times: TokenTimes) -> tuple[TimedWord, ...]:
    """The words of a text's tokens; punctuation belongs to the word before it."""
    pieces, piece_tokens = tokenizer.split_to_word_tokens([*text, tokenizer.eot])
    edges = np.concatenate(([0], np.cumsum([len(one) for one in piece_tokens[:-1]])))
    words: list[TimedWord] = []
    is_unspaced = tokenizer.language_code in _UNSPACED
    for piece, first, last in zip(pieces, edges[:-1], edges[1:], strict=False):
        start, end = (float(times.starts_s[min(edge, len(times.starts_s) - 1)]) for edge in (first, last))
        if words and not (piece.startswith(" ") or (is_unspaced and any(sign.isalnum() for sign in piece))):
            before = words[-1]
            end = end if any(sign.isalnum() for sign in piece) else before.end_s
            words[-1] = TimedWord(before.text + piece, before.start_s, end, before.probability)
        else:
            words.append(TimedWord(piece, start, end, float(np.mean(times.probabilities[first:last]))))
    return tuple(words)
