"""Open a CTranslate2 model folder on onnxruntime, with the encoder that suits this processor."""

import json
from functools import partial
from pathlib import Path

import ctranslate2

from providers.local.asr.transformer.encoder_choice import OpenPath, choose_encoder
from providers.local.asr.transformer.encoder_path import EncoderChoice, EncoderPath
from providers.local.asr.transformer.graph_cache import exported_graphs
from providers.local.asr.whisper.checkpoint import read_checkpoint
from providers.local.asr.whisper.decoder import DecoderSession
from providers.local.asr.whisper.encoder import GRAPH_PATHS, EncoderSession, encode_with


def open_transformer(
    folder: Path, weights: ctranslate2.models.Whisper, threads: int, encoder_path: str
) -> tuple[EncoderSession | None, DecoderSession, EncoderChoice]:
    """The model's encoder and decoder; no encoder where it is CTranslate2's, with these weights.

    `encoder_path` is an EncoderPath or `auto`. Raises UnreadableCheckpoint where the weights are not in the format
    known here.
    """
    checkpoint = read_checkpoint(folder / "model.bin")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    with exported_graphs(folder) as graphs:
        paths: dict[EncoderPath, OpenPath] = {
            path: partial(EncoderSession, graphs, path, threads) for path in GRAPH_PATHS
        }
        paths[EncoderPath.CTRANSLATE2] = lambda: partial(encode_with, weights)
        choice = choose_encoder(graphs, paths, encoder_path)
        encoder = EncoderSession(graphs, choice.path, threads) if choice.path in GRAPH_PATHS else None
        return encoder, DecoderSession(checkpoint, config, graphs, threads), choice
