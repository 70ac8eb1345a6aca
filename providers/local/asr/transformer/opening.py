"""Opening a model on onnxruntime: the networks made of its weights, as far as this processor can use them."""

import json
import platform
from pathlib import Path

from providers.local.asr.transformer.checkpoint import read_checkpoint
from providers.local.asr.transformer.decoder import DecoderSession
from providers.local.asr.transformer.encoder import EncoderSession, adds_bytes_exactly
from providers.local.asr.transformer.graph_cache import networks

_CPU_INFO = Path("/proc/cpuinfo")


def open_transformer(folder: Path, threads: int) -> tuple[EncoderSession | None, DecoderSession]:
    """The model in a CTranslate2 folder; no encoder where the processor is better served without it.

    Raises Unreadable where its weights are of another make.
    """
    checkpoint = read_checkpoint(folder / "model.bin")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    cpu = _CPU_INFO.read_text() if _CPU_INFO.is_file() else platform.machine()
    with networks(folder) as files:
        encoder = EncoderSession(files, threads) if adds_bytes_exactly(cpu) else None
        return encoder, DecoderSession(checkpoint, config, files, threads)
