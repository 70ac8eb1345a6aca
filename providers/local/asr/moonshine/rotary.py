"""Rotary position embeddings (Su et al., "RoFormer", 2021), over the first part of each attention head."""

import numpy as np

from providers.local.asr.transformer.graph import CONTRIB, GraphBuilder
from providers.local.asr.transformer.shape import DecoderShape

ROTATED = 32
"""Numbers of each head that are rotated, in neighbouring pairs; the rest stays as it is."""

_BASE = 10_000.0
_MAX_POSITIONS = 2048


def rotated(graph: GraphBuilder, value: str, start: str, shape: DecoderShape) -> str:
    """`value` (1, n, width), queries or keys, the first of them at the position `start` (1,)."""
    pairs = ROTATED // 2
    angles = np.arange(_MAX_POSITIONS)[:, None] * _BASE ** (-np.arange(pairs) / pairs)
    cosines, sines = (graph.constant(part(angles).astype(np.float32)) for part in (np.cos, np.sin))
    return graph.add(
        "RotaryEmbedding",
        [value, start, cosines, sines],
        domain=CONTRIB,
        interleaved=1,
        num_heads=shape.heads,
        rotary_embedding_dim=ROTATED,
    )
