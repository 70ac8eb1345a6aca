"""Export a CTranslate2 Whisper model to ONNX: `python -m providers.local.asr.whisper.export MODEL FOLDER`."""

import json
import sys
from pathlib import Path

import ctranslate2
import onnx

from providers.local.asr.transformer.encoder_choice import sample_sound, write_test
from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.graph_cache import CROSS_KV, DECODER
from providers.local.asr.whisper.checkpoint import read_checkpoint
from providers.local.asr.whisper.decoder_graph import cross_kv_graph, decoder_graph
from providers.local.asr.whisper.encoder import GRAPH_PATHS, encode_with, encoder_file
from providers.local.asr.whisper.encoder_graph import encoder_graph
from providers.local.mel import MelFilters, encoder_features


def export(model: Path, folder: Path) -> None:
    """Write the graphs of the model, one encoder for each path, and their test. Raises UnreadableCheckpoint."""
    checkpoint = read_checkpoint(model / "model.bin")
    for path in GRAPH_PATHS:
        onnx.save(encoder_graph(checkpoint, path), folder / encoder_file(path))
    onnx.save(cross_kv_graph(checkpoint), folder / CROSS_KV)
    config = json.loads((model / "config.json").read_text("utf-8"))
    onnx.save(decoder_graph(checkpoint, config.get("alignment_heads", ())), folder / DECODER)
    exact = ctranslate2.models.Whisper(str(model), device="cpu", compute_type="float32", intra_threads=1)
    log_mel = MelFilters(exact.n_mels).log_mel(sample_sound())
    features = encoder_features(log_mel, log_mel.shape[1])[None]
    write_test(folder, features, encode_with(exact, features))


if __name__ == "__main__":
    try:
        export(Path(sys.argv[1]), Path(sys.argv[2]))
    except UnreadableCheckpoint as error:
        sys.exit(str(error))
