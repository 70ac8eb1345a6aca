"""True start and end of speech in a recording, from a VAD and the audio level.

Silero (threshold 0.3) gives rough bounds; the level of 10 ms frames refines them. A frame is audible when it is 10 dB
above the recording's background (in a noisy one, half-way up to the speech) and at most 35 dB below the loudest
speech. Speech begins with the first of three audible frames in a row, at most 0.2 s before Silero's first speech
window, and ends after the last three audible frames in a row, at most 0.2 s after its last. Where the two disagree the
earlier moment counts, at both ends: that can only make a server look slower.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.audio import SAMPLE_RATE

FRAME_SECONDS = 0.01
MARGIN_SECONDS = 0.2
ABOVE_FLOOR_DB, BELOW_PEAK_DB = 10.0, 35.0
RUN = 3
"""Frames in a row that make a sound."""
WINDOW = 512
"""Samples in one of Silero's windows."""
THRESHOLD = 0.3
SILENCE_DB = -96.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds into the recording, and the level of its background."""

    onset: float
    end: float
    floor_db: float


def speech_bounds(audio: NDArray[np.float32]) -> Bounds:
    """Where speech begins and ends; the whole recording where Silero finds none."""
    return refine(levels_db(audio), coarse(audio))


def levels_db(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """The level of every 10 ms, in dB below full scale."""
    step = int(SAMPLE_RATE * FRAME_SECONDS)
    whole = audio[: len(audio) // step * step].reshape(-1, step).astype(np.float64)
    power = np.mean((whole - whole.mean(axis=1, keepdims=True)) ** 2, axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10))))


def coarse(audio: NDArray[np.float32]) -> tuple[float, float]:
    """Silero's first and last window of speech, in seconds."""
    from faster_whisper.vad import get_vad_model  # noqa: PLC0415 because it loads onnxruntime, and pure tests need none

    padded = np.pad(audio, (0, -len(audio) % WINDOW))
    speech = np.flatnonzero(np.asarray(get_vad_model()(padded)).reshape(-1) >= THRESHOLD)
    if not len(speech):
        return 0.0, len(audio) / SAMPLE_RATE
    return float(speech[0]) * WINDOW / SAMPLE_RATE, float(speech[-1] + 1) * WINDOW / SAMPLE_RATE


def refine(levels: NDArray[np.float64], rough: tuple[float, float]) -> Bounds:
    """The first and the last sound near the rough bounds."""
    first = max(0, round((rough[0] - MARGIN_SECONDS) / FRAME_SECONDS))
    last = min(len(levels), round((rough[1] + MARGIN_SECONDS) / FRAME_SECONDS))
    floor = float(np.percentile(levels, 5))
    peak = float(np.percentile(levels[first:last], 95)) if last > first else floor
    audible = levels > max(floor + min(ABOVE_FLOOR_DB, (peak - floor) / 2), peak - BELOW_PEAK_DB)
    runs = np.convolve(audible[first:last], np.ones(RUN, dtype=np.int64), "valid") == RUN if last - first >= RUN else []
    sounds = np.flatnonzero(runs)
    if not len(sounds):
        return Bounds(rough[0], rough[1], floor)
    onset, end = first + int(sounds[0]), first + int(sounds[-1]) + RUN
    return Bounds(min(onset * FRAME_SECONDS, rough[0]), min(end * FRAME_SECONDS, rough[1]), floor)
