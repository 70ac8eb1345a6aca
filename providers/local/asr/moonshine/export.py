"""Export a published Moonshine model to ONNX: `python -m providers.local.asr.moonshine.export MODEL FOLDER`."""

import sys
from pathlib import Path

import numpy as np
import onnx

from providers.local.asr.moonshine.decoder_graph import cross_kv_graph, decoder_graph
from providers.local.asr.moonshine.encoder_graph import encoder_graph
from providers.local.asr.moonshine.layout import EMBEDDING_SCALE, EMBEDDINGS, ENCODER_PATHS, encoder_file
from providers.local.asr.moonshine.network import MoonshineEncoder
from providers.local.asr.moonshine.weights import read_weights
from providers.local.asr.transformer.encoder_choice import sample_sound, write_test
from providers.local.asr.transformer.encoder_path import EncoderPath
from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.graph_cache import CROSS_KV, DECODER


def export(model: Path, folder: Path) -> None:
    """Write the graphs of the model, one encoder for each path. Raises UnreadableCheckpoint."""
    weights = read_weights(model)
    for path in ENCODER_PATHS:
        onnx.save(encoder_graph(weights, path), folder / encoder_file(path))
    sound = sample_sound()
    write_test(folder, sound, MoonshineEncoder(folder, EncoderPath.FLOAT32, threads=1)(sound))
    onnx.save(cross_kv_graph(weights), folder / CROSS_KV)
    onnx.save(decoder_graph(weights), folder / DECODER)
    embeddings = weights.matrices["embeddings"]
    np.save(folder / EMBEDDINGS, embeddings.integers)
    np.save(folder / EMBEDDING_SCALE, np.array([embeddings.scale, embeddings.zero], np.float32))


if __name__ == "__main__":
    try:
        export(Path(sys.argv[1]), Path(sys.argv[2]))
    except UnreadableCheckpoint as error:
        sys.exit(str(error))
