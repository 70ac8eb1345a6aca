"""Build an ONNX graph from the layers of a CTranslate2 checkpoint."""

from dataclasses import dataclass, field

import numpy as np

from providers.local.asr.transformer.encoder_path import EncoderPath
from providers.local.asr.transformer.graph import GraphBuilder
from providers.local.asr.whisper.checkpoint import Checkpoint


@dataclass(slots=True, kw_only=True)
class CheckpointGraph(GraphBuilder):
    """A graph whose layers are named as in the checkpoint."""

    checkpoint: Checkpoint = field()

    def norm(self, value: str, name: str, output: str = "") -> str:
        scale, shift = (self.checkpoint.dequantized(f"{name}/{part}") for part in ("gamma", "beta"))
        return self.layer_norm(value, scale, shift, output)

    def linear(self, value: str, name: str, *, scale: float = 1.0) -> str:
        """A linear layer, for few rows at a time; its output is multiplied with `scale`."""
        weight, bias = (self.checkpoint.dequantized(f"{name}/{part}") for part in ("weight", "bias"))
        return self.matmul(value, weight * np.float32(scale), bias * np.float32(scale))

    def linear_for_many_rows(self, value: str, name: str, path: EncoderPath) -> str:
        """A linear layer, for many rows at a time."""
        weight, bias = (self.checkpoint.dequantized(f"{name}/{part}") for part in ("weight", "bias"))
        return self.matmul_for_many_rows(value, weight, bias, path)
