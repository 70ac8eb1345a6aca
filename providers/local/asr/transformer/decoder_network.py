"""A decoder's two graphs on onnxruntime; any number of threads may use them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from providers.local.asr.transformer.graph_cache import CROSS_KV, DECODER
from providers.local.asr.transformer.greedy import KeyValues
from providers.local.asr.transformer.quantization import Floats
from providers.local.asr.transformer.shape import DecoderShape, cross_names, self_names
from providers.local.onnx import open_network, session_options


class DecoderNetwork:
    """What the decoders of all models share: keys and values, and one run of the step's graph."""

    def __init__(self, graphs: Path, threads: int) -> None:
        self._cross_kv, self._decoder = (
            open_network(graphs / name, session_options(threads)) for name in (CROSS_KV, DECODER)
        )
        self._shape = _shape_of(self._decoder)
        self._cross_names, self._past_names = cross_names(self._shape), self_names(self._shape)

    def cross_attention_kv(self, memory: Floats) -> KeyValues:
        """Cross-attention keys and values per layer; `memory` is the encoder's output (1, T, width)."""
        outputs = self._cross_kv.run(self._cross_names, {"memory": memory})
        return dict(zip(self._cross_names, outputs, strict=True))

    def empty_kv_cache(self) -> KeyValues:
        """Self-attention keys and values of no tokens."""
        empty = np.zeros((1, self._shape.heads, 0, self._shape.head_dim), np.float32)
        return dict.fromkeys(self._past_names, empty)

    def _run(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> tuple[list[Floats], KeyValues]:
        """These outputs of one step, and the key/value cache with its tokens."""
        results = self._decoder.run([*outputs, *self_names(self._shape, "present")], inputs)
        present = dict(zip(self._past_names, results[len(outputs) :], strict=True))
        return results[: len(outputs)], present


def _shape_of(decoder: onnxruntime.InferenceSession) -> DecoderShape:
    """The sizes of a decoder, by the inputs of its graph."""
    past_keys = [each.shape for each in decoder.get_inputs() if each.name.startswith("past_k_")]
    _, heads, _, head_dim = past_keys[0]
    return DecoderShape(len(past_keys), heads, heads * head_dim)
