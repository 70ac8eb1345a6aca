"""Moonshine's encoder and decoder on onnxruntime; any number of threads may use them."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from providers.local.asr.moonshine.layout import (
    EMBEDDING_SCALE,
    EMBEDDINGS,
    MAX_POSITIONS,
    MIN_SAMPLES,
    encoder_file,
)
from providers.local.asr.transformer.decoder_network import DecoderNetwork
from providers.local.asr.transformer.encoder_path import EncoderPath
from providers.local.asr.transformer.greedy import DecoderStep, KeyValues
from providers.local.asr.transformer.quantization import Floats
from providers.local.mel import Samples
from providers.local.onnx import open_network, session_options


class MoonshineEncoder:
    def __init__(self, graphs: Path, path: EncoderPath, threads: int) -> None:
        self._network = open_network(graphs / encoder_file(path), session_options(threads))

    def __call__(self, samples: Samples) -> Floats:
        """From samples (n,) to the encoder's output (1, T, width); fewer than MIN_SAMPLES are padded with silence."""
        padded = np.pad(samples, (0, max(0, MIN_SAMPLES - len(samples))))
        return cast(Floats, self._network.run(["memory"], {"samples": padded[None]})[0])


class MoonshineDecoder(DecoderNetwork):
    """A StepDecoder that tells where its alignment heads attend."""

    def __init__(self, graphs: Path, threads: int) -> None:
        super().__init__(graphs, threads)
        self._embeddings = np.load(graphs / EMBEDDINGS, mmap_mode="r")
        self._scale, self._zero = np.load(graphs / EMBEDDING_SCALE)

    @property
    def max_positions(self) -> int:
        return MAX_POSITIONS

    def step(
        self, cross_kv: KeyValues, past: KeyValues, tokens: Sequence[int], position: int, rows: Sequence[int]
    ) -> DecoderStep:
        embeddings = (self._embeddings[list(tokens)].astype(np.float32) - self._zero) * self._scale
        inputs = {"embeddings": embeddings[None], "start": np.array([position]), "rows": np.array(rows)}
        (logits, attention), present = self._run({**inputs, **cross_kv, **past}, ["logits", "attention"])
        return DecoderStep(logits, present, attention)
