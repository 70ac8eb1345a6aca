"""Open a CTranslate2 model folder on onnxruntime, as far as this processor runs it well."""

import json
from pathlib import Path

from providers.local.asr.transformer.graph_cache import exported_graphs
from providers.local.asr.transformer.processor import cpu_info, has_exact_int8_dot
from providers.local.asr.whisper.checkpoint import read_checkpoint
from providers.local.asr.whisper.decoder import DecoderSession
from providers.local.asr.whisper.encoder import EncoderSession


def open_transformer(folder: Path, threads: int) -> tuple[EncoderSession | None, DecoderSession]:
    """The model's encoder and decoder; no encoder where CTranslate2's is the better one for this processor.

    Raises UnreadableCheckpoint where the weights are not in the format known here.
    """
    checkpoint = read_checkpoint(folder / "model.bin")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    with exported_graphs(folder) as graphs:
        encoder = EncoderSession(graphs, threads) if has_exact_int8_dot(cpu_info()) else None
        return encoder, DecoderSession(checkpoint, config, graphs, threads)
