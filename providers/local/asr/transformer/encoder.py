"""Whisper's encoder on onnxruntime: as fast as CTranslate2's on one core, and faster where a second core is idle."""

from pathlib import Path
from typing import cast

from providers.local.asr.transformer.checkpoint import Floats
from providers.local.asr.transformer.graph_cache import ENCODER
from providers.local.onnx import open_network, session_options


class EncoderSession:
    """One model's encoder; any number of threads may use it."""

    def __init__(self, graphs: Path, threads: int) -> None:
        self._network = open_network(graphs / ENCODER, session_options(threads))

    def __call__(self, features: Floats) -> Floats:
        """From log-mel spectrograms (batch, bands, frames) to the encoder's output (batch, T, width)."""
        return cast(Floats, self._network.run(None, {"features": features})[0])


def has_exact_int8_dot(cpu: str) -> bool:
    """Whether a processor adds products of 8-bit integers without overflow.

    `cpu` is the text of /proc/cpuinfo, or the machine's name where there is none. x86 does since VNNI; before,
    onnxruntime's fastest kernels saturate and words suffer. ARM (aarch64, called arm64 on macOS and Windows) always
    does.
    """
    return any(sign in cpu.lower() for sign in ("aarch64", "arm64", "asimd", "vnni"))
