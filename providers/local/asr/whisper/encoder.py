"""Whisper's encoder on onnxruntime: as fast as CTranslate2's on one core, and faster where a second core is idle."""

from pathlib import Path
from typing import cast

from providers.local.asr.transformer.graph_cache import ENCODER
from providers.local.asr.transformer.quantization import Floats
from providers.local.onnx import open_network, session_options


class EncoderSession:
    """One model's encoder; any number of threads may use it."""

    def __init__(self, graphs: Path, threads: int) -> None:
        self._network = open_network(graphs / ENCODER, session_options(threads))

    def __call__(self, features: Floats) -> Floats:
        """From log-mel spectrograms (batch, bands, frames) to the encoder's output (batch, T, width)."""
        return cast(Floats, self._network.run(None, {"features": features})[0])
