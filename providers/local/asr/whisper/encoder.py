"""Whisper's encoder on onnxruntime: as fast as CTranslate2's on one core, and faster where a second core is idle."""

from pathlib import Path
from typing import cast

import ctranslate2
import numpy as np

from providers.local.asr.transformer.encoder_path import EncoderPath
from providers.local.asr.transformer.quantization import Floats
from providers.local.onnx import open_network, session_options

GRAPH_PATHS = (EncoderPath.INT8, EncoderPath.INT7, EncoderPath.UINT8)
"""Of which there are graphs."""


def encoder_file(path: EncoderPath) -> str:
    return f"encoder-{path}.onnx"


class EncoderSession:
    """One model's encoder; any number of threads may use it."""

    def __init__(self, graphs: Path, path: EncoderPath, threads: int) -> None:
        self._network = open_network(graphs / encoder_file(path), session_options(threads))

    def __call__(self, features: Floats) -> Floats:
        """From log-mel spectrograms (batch, bands, frames) to the encoder's output (batch, T, width)."""
        return cast(Floats, self._network.run(None, {"features": features})[0])


def encode_with(weights: ctranslate2.models.Whisper, features: Floats) -> Floats:
    """The same by CTranslate2, on a CPU."""
    weights.load_model()
    return np.array(weights.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(features))))
