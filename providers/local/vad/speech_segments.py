"""Speech segments of audio that is already in memory, by Silero VAD, and chunks of a length Whisper can decode."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnxruntime

from app.domain.audio import SAMPLE_RATE
from providers.local.mel import Samples
from providers.local.vad.silero import CONTEXT, FRAME, STATE

_THRESHOLD, _CONTINUE_THRESHOLD = 0.5, 0.35
"""Probability from which a frame begins a speech segment, and from which the next one continues it."""

_CLEAR = 0.8
"""Probability from which one frame of 32 ms is enough to say that somebody speaks."""

_ENOUGH_FRAMES = 2
"""Frames of `_THRESHOLD` that are enough: 64 ms. A quiet word of an old recording has no more."""

_MIN_SILENCE = int(0.3 * SAMPLE_RATE)
"""Samples; a shorter pause does not end a segment."""

_PAD = int(0.25 * SAMPLE_RATE)
"""Samples added on both sides of a segment."""

_BATCH_FRAMES = 32


class SpeechFinder:
    """Silero over audio in memory, many frames at a call."""

    def __init__(self, network: onnxruntime.InferenceSession) -> None:
        self._network = network

    def has_speech(self, samples: Samples) -> bool:
        """Whether anybody speaks: one frame is speech beyond doubt, or several are; stops where that is known.

        A single doubtful frame is a noise. A model that is given noise writes a sentence, in any language.
        """
        found = 0
        for batch in self._batches(samples) if samples.any() else ():
            found += sum(speech >= _THRESHOLD for speech in batch)
            if found >= _ENOUGH_FRAMES or max(batch) >= _CLEAR:
                return True
        return False

    def has_clear_speech(self, samples: Samples) -> bool:
        """Whether any frame is speech beyond doubt; stops at the first."""
        return any(max(batch) >= _CLEAR for batch in self._batches(samples))

    def probabilities(self, samples: Samples) -> list[float]:
        """The speech probability of every FRAME samples; the last frame is padded with silence."""
        return [speech for batch in self._batches(samples) for speech in batch]

    def _batches(self, samples: Samples) -> Iterator[list[float]]:
        hidden, cell = np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)
        count = -(-len(samples) // FRAME)
        padded = np.zeros(CONTEXT + count * FRAME, np.float32)
        padded[CONTEXT : CONTEXT + len(samples)] = samples
        frames = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]
        for first in range(0, count, _BATCH_FRAMES):
            batch = np.ascontiguousarray(frames[first : first + _BATCH_FRAMES])
            speech, hidden, cell = self._network.run(None, {"input": batch, "h": hidden, "c": cell})
            yield [float(one) for one in speech]


@dataclass(frozen=True, slots=True)
class Span:
    """Samples from `start` up to, not including, `end`."""

    start: int
    end: int


def speech_segments(probabilities: Sequence[float], samples: int) -> tuple[Span, ...]:
    """The padded spans of speech in `samples` samples, given the probability of each frame. They do not overlap."""
    spans: list[Span] = []
    speaking = False
    for n, speech in enumerate(probabilities):
        speaking = speech >= (_CONTINUE_THRESHOLD if speaking else _THRESHOLD)
        if not speaking:
            continue
        start, end = n * FRAME, min(samples, (n + 1) * FRAME)
        if spans and start - spans[-1].end < _MIN_SILENCE:
            spans[-1] = Span(spans[-1].start, end)
        else:
            spans.append(Span(start, end))
    if not spans:
        return ()
    middles = [(one.end + other.start) // 2 for one, other in pairwise(spans)]
    return tuple(
        Span(max(span.start - _PAD, low), min(span.end + _PAD, high))
        for span, low, high in zip(spans, [0, *middles], [*middles, samples], strict=True)
    )


def chunk_segments(
    probabilities: Sequence[float], samples: int, *, max_samples: int, join_up_to: int
) -> tuple[Span, ...]:
    """The speech in chunks of at most `max_samples`, cut in pauses where there are any.

    Neighbours are joined while the chunk stays within `join_up_to` samples. Speech without a pause is cut at the frame
    with the lowest speech probability in the last third of a chunk.
    """
    pieces: list[Span] = []
    for span in speech_segments(probabilities, samples):
        start = span.start
        while span.end - start > max_samples:
            low, high = (start + max_samples * 2 // 3) // FRAME, (start + max_samples) // FRAME
            cut = (low + int(np.argmin(probabilities[low:high]))) * FRAME + FRAME // 2
            pieces.append(Span(start, cut))
            start = cut
        pieces.append(Span(start, span.end))
    chunks: list[Span] = []
    for piece in pieces:
        if chunks and piece.end - chunks[-1].start <= join_up_to:
            chunks[-1] = Span(chunks[-1].start, piece.end)
        else:
            chunks.append(piece)
    return tuple(chunks)
