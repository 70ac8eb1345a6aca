"""Where in a stretch of sound someone speaks, and where it may be cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnxruntime

from app.domain.audio import SAMPLE_RATE
from providers.local.mel import Samples
from providers.local.vad.silero import CONTEXT, FRAME, STATE

SPEECH = 0.5
"""Probability from which a frame counts as speech."""

_BLOCK = 32
_BETWEEN = 0.35
_PAUSE = 0.3
_PAD = 0.25


class SpeechFinder:
    """Silero over sound that is already there: many frames a call."""

    def __init__(self, network: onnxruntime.InferenceSession) -> None:
        self._network = network

    def anyone(self, sound: Samples) -> bool:
        """True as soon as a frame is speech; sound without any is heard to its end."""
        return bool(sound.any()) and any(max(block) >= SPEECH for block in self._blocks(sound))

    def probabilities(self, sound: Samples) -> list[float]:
        """One number for every FRAME samples; the last frame is filled with silence."""
        return [speech for block in self._blocks(sound) for speech in block]

    def _blocks(self, sound: Samples) -> Iterator[list[float]]:
        hidden, cell = np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)
        count = -(-len(sound) // FRAME)
        whole = np.zeros(CONTEXT + count * FRAME, np.float32)
        whole[CONTEXT : CONTEXT + len(sound)] = sound
        chunk_segments = np.lib.stride_tricks.sliding_window_view(whole, CONTEXT + FRAME)[::FRAME]
        for first in range(0, count, _BLOCK):
            block = np.ascontiguousarray(chunk_segments[first : first + _BLOCK])
            speech, hidden, cell = self._network.run(None, {"input": block, "h": hidden, "c": cell})
            yield [float(one) for one in speech]


@dataclass(frozen=True, slots=True)
class Span:
    """Samples from `start` up to, not including, `end`."""

    start: int
    end: int


def speech_segments(probabilities: Sequence[float], samples: int) -> tuple[Span, ...]:
    """The stretches in which someone speaks, a little wider than they are; short pauses do not part them."""
    spans: list[Span] = []
    pad, pause = int(_PAD * SAMPLE_RATE), int(_PAUSE * SAMPLE_RATE)
    speaking = False
    for n, speech in enumerate(probabilities):
        speaking = speech >= (_BETWEEN if speaking else SPEECH)
        if not speaking:
            continue
        start, end = n * FRAME, min(samples, (n + 1) * FRAME)
        if spans and start - spans[-1].end < pause:
            spans[-1] = Span(spans[-1].start, end)
        else:
            spans.append(Span(start, end))
    if not spans:
        return ()
    middles = [(one.end + other.start) // 2 for one, other in pairwise(spans)]
    return tuple(
        Span(max(span.start - pad, low), min(span.end + pad, high))
        for span, low, high in zip(spans, [0, *middles], [*middles, samples], strict=True)
    )


def chunk_segments(probabilities: Sequence[float], samples: int, *, longest: int, wanted: int) -> tuple[Span, ...]:
    """The speech in pieces of at most `longest` samples, cut in pauses where there are any.

    Pieces are joined while they stay within `wanted`. Speech without a pause is cut
    where it is least certain to be speech.
    """
    pieces: list[Span] = []
    for span in speech_segments(probabilities, samples):
        start = span.start
        while span.end - start > longest:
            low, high = (start + longest * 2 // 3) // FRAME, (start + longest) // FRAME
            cut = (low + int(np.argmin(probabilities[low:high]))) * FRAME + FRAME // 2
            pieces.append(Span(start, cut))
            start = cut
        pieces.append(Span(start, span.end))
    joined: list[Span] = []
    for piece in pieces:
        if joined and piece.end - joined[-1].start <= wanted:
            joined[-1] = Span(joined[-1].start, piece.end)
        else:
            joined.append(piece)
    return tuple(joined)
