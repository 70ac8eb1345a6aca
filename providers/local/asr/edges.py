"""Quiet noise beside short audio whose speech touches the edges, because models lose or repeat words there. Pure."""

import numpy as np

from app.domain.audio import SAMPLE_RATE
from providers.local.mel import Samples

SHORT = 2 * SAMPLE_RATE
"""Samples below which models need it."""

EDGE = SAMPLE_RATE // 4
"""Samples of noise on one side."""

NOISE: Samples = np.random.default_rng(0).normal(0.0, 1e-3, EDGE).astype(np.float32)
"""That noise: 60 dB below full scale, always the same."""

_FRAME = SAMPLE_RATE // 50
_EDGE_FRAMES = 3
"""Frames of 20 ms in which speech touches an edge."""

_AUDIBLE_DB = 25.0
"""Below the loudest frame; the pre-roll of a live utterance and the pause behind it are quieter."""


def with_edges(samples: Samples) -> tuple[Samples, int]:
    """Short audio with noise where speech touches its edges; and how many samples of noise come first."""
    if not 0 < len(samples) < SHORT:
        return samples, 0
    levels = _levels_db(samples)
    audible = levels > levels.max() - _AUDIBLE_DB
    before = NOISE if audible[:_EDGE_FRAMES].any() else NOISE[:0]
    behind = NOISE if audible[-_EDGE_FRAMES:].any() else NOISE[:0]
    return np.concatenate((before, samples, behind)), len(before)


def _levels_db(samples: Samples) -> Samples:
    """Of each frame, the last one padded with silence."""
    frames = np.pad(samples, (0, -len(samples) % _FRAME)).reshape(-1, _FRAME)
    levels: Samples = 10.0 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    return levels
