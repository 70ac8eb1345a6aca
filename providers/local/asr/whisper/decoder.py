"""Whisper's decoder on onnxruntime: several known or drafted tokens a step.

CTranslate2 reads one token a step, known ones too, and takes three times as long for it; see docs/engine.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from providers.local.asr.transformer.graph_cache import CROSS_KV, DECODER
from providers.local.asr.transformer.greedy import DecoderStep, KeyValues
from providers.local.asr.transformer.quantization import Floats
from providers.local.asr.transformer.shape import cross_names, self_names
from providers.local.asr.whisper.checkpoint import Checkpoint
from providers.local.asr.whisper.shape import shape_of
from providers.local.onnx import open_network, session_options


class DecoderSession:
    """One model's decoder; any number of threads may use it."""

    def __init__(self, checkpoint: Checkpoint, config: Mapping[str, list[int]], graphs: Path, threads: int) -> None:
        """`config` is the model's `config.json`, which may list tokens to suppress."""
        self.suppress = config.get("suppress_ids", [])
        self.suppress_begin = config.get("suppress_ids_begin", [])
        self._shape = shape_of(checkpoint)
        self._checkpoint = checkpoint
        self._positions = checkpoint.dequantized("decoder/position_encodings/encodings")
        self._cross_kv, self._decoder = (
            open_network(graphs / name, session_options(threads)) for name in (CROSS_KV, DECODER)
        )
        self._cross_names = cross_names(self._shape)
        self._past_names = self_names(self._shape)
        self._outputs = ["logits", *self_names(self._shape, "present")]

    @property
    def max_positions(self) -> int:
        """Tokens of a whole sequence, the prompt included."""
        return len(self._positions)

    def cross_attention_kv(self, memory: Floats) -> KeyValues:
        """Cross-attention keys and values per layer; `memory` is the encoder's output (1, T, width)."""
        outputs = self._cross_kv.run(self._cross_names, {"memory": memory})
        return dict(zip(self._cross_names, outputs, strict=True))

    def empty_kv_cache(self) -> KeyValues:
        """Self-attention keys and values of no tokens."""
        empty = np.zeros((1, self._shape.heads, 0, self._shape.head_dim), np.float32)
        return dict.fromkeys(self._past_names, empty)

    def step(
        self, cross_kv: KeyValues, past: KeyValues, tokens: Sequence[int], position: int, rows: Sequence[int]
    ) -> DecoderStep:
        """Read new tokens, the first of them at `position`; logits after the tokens at the indexes `rows`."""
        embeddings = self._checkpoint.dequantized("decoder/embeddings/weight", np.array(tokens))
        embeddings += self._positions[position : position + len(tokens)]
        inputs = {"embeddings": embeddings[None], "rows": np.array(rows, np.int64), **cross_kv, **past}
        logits, *present = self._decoder.run(self._outputs, inputs)
        return DecoderStep(logits, dict(zip(self._past_names, present, strict=True)))
