"""Moonshine's encoder and decoder on onnxruntime; any number of threads may use them."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime

from providers.local.asr.moonshine.layout import (
    EMBEDDING_SCALE,
    EMBEDDINGS,
    MAX_POSITIONS,
    MIN_SAMPLES,
    Precision,
    encoder_file,
)
from providers.local.asr.transformer.graph_cache import CROSS_KV, DECODER
from providers.local.asr.transformer.greedy import DecoderStep, KeyValues
from providers.local.asr.transformer.quantization import Floats
from providers.local.asr.transformer.shape import DecoderShape, cross_names, self_names
from providers.local.mel import Samples
from providers.local.onnx import open_network, session_options


class MoonshineEncoder:
    def __init__(self, graphs: Path, precision: Precision, threads: int) -> None:
        self.precision = precision
        self._network = open_network(graphs / encoder_file(precision), session_options(threads))

    def __call__(self, samples: Samples) -> Floats:
        """From samples (n,) to the encoder's output (1, T, width); fewer than MIN_SAMPLES are padded with silence."""
        padded = np.pad(samples, (0, max(0, MIN_SAMPLES - len(samples))))
        return cast(Floats, self._network.run(["memory"], {"samples": padded[None]})[0])


class MoonshineDecoder:
    """A StepDecoder that tells where its alignment heads attend."""

    def __init__(self, graphs: Path, threads: int) -> None:
        self._embeddings = np.load(graphs / EMBEDDINGS, mmap_mode="r")
        self._scale, self._zero = np.load(graphs / EMBEDDING_SCALE)
        self._cross_kv, self._decoder = (
            open_network(graphs / name, session_options(threads)) for name in (CROSS_KV, DECODER)
        )
        self._shape = shape = _shape_of(self._decoder)
        self._cross_names, self._past_names = cross_names(shape), self_names(shape)
        self._outputs = ["logits", "attention", *self_names(shape, "present")]

    @property
    def max_positions(self) -> int:
        return MAX_POSITIONS

    def cross_attention_kv(self, memory: Floats) -> KeyValues:
        """Cross-attention keys and values per layer; `memory` is the encoder's output (1, T, width)."""
        outputs = self._cross_kv.run(self._cross_names, {"memory": memory})
        return dict(zip(self._cross_names, outputs, strict=True))

    def empty_kv_cache(self) -> KeyValues:
        empty = np.zeros((1, self._shape.heads, 0, self._shape.head_dim), np.float32)
        return dict.fromkeys(self._past_names, empty)

    def step(
        self, cross_kv: KeyValues, past: KeyValues, tokens: Sequence[int], position: int, rows: Sequence[int]
    ) -> DecoderStep:
        embeddings = (self._embeddings[list(tokens)].astype(np.float32) - self._zero) * self._scale
        inputs = {"embeddings": embeddings[None], "start": np.array([position]), "rows": np.array(rows)}
        logits, attention, *present = self._decoder.run(self._outputs, {**inputs, **cross_kv, **past})
        return DecoderStep(logits, dict(zip(self._past_names, present, strict=True)), attention)


def _shape_of(decoder: onnxruntime.InferenceSession) -> DecoderShape:
    """The sizes of a decoder's graph, by its inputs."""
    past_keys = [each.shape for each in decoder.get_inputs() if each.name.startswith("past_k_")]
    _, heads, _, head_dim = past_keys[0]
    return DecoderShape(len(past_keys), heads, heads * head_dim)
