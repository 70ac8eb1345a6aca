"""Whisper's encoder on onnxruntime: as fast as CTranslate2's on one core, and faster where a second one is idle."""

from pathlib import Path
from typing import cast

from providers.local.asr.transformer.checkpoint import Numbers
from providers.local.asr.transformer.graph_cache import ENCODING
from providers.local.onnx import open_network, options


class EncoderSession:
    """One model's encoder; any number of threads may use it."""

    def __init__(self, networks: Path, threads: int) -> None:
        self._network = open_network(networks / ENCODING, options(threads))

    def __call__(self, features: Numbers) -> Numbers:
        """From log-mel spectrograms (sounds, bands, columns) to what they mean: (sounds, T, width)."""
        return cast(Numbers, self._network.run(None, {"features": features})[0])


def adds_bytes_exactly(cpu: str) -> bool:
    """Whether a processor adds products of 8-bit integers without an overflow; `cpu` is /proc/cpuinfo's text.

    x86 does since VNNI; before, onnxruntime's fastest way saturates and words suffer. ARM always does.
    """
    return "aarch64" in cpu or "asimd" in cpu or "vnni" in cpu
