"""Opening a model on onnxruntime: the networks made of its weights, as far as this processor can use them."""

import json
import platform
from pathlib import Path

from providers.local.transformer.checkpoint import read_checkpoint
from providers.local.transformer.encoder import Encoder, adds_bytes_exactly
from providers.local.transformer.networks import networks
from providers.local.transformer.writer import Decoder

_CPU_INFO = Path("/proc/cpuinfo")


def open_transformer(folder: Path, threads: int) -> tuple[Encoder | None, Decoder]:
    """The model in a CTranslate2 folder; no encoder where the processor is better served without it.

    Raises Unreadable where its weights are of another make.
    """
    checkpoint = read_checkpoint(folder / "model.bin")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    cpu = _CPU_INFO.read_text() if _CPU_INFO.is_file() else platform.machine()
    with networks(folder) as files:
        encoder = Encoder(files, threads) if adds_bytes_exactly(cpu) else None
        return encoder, Decoder(checkpoint, config, files, threads)
