"""Export a CTranslate2 Whisper model to ONNX: `python -m providers.local.asr.whisper.export MODEL FOLDER`."""

import sys
from pathlib import Path

import onnx

from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.graph_cache import CROSS_KV, DECODER, ENCODER
from providers.local.asr.whisper.checkpoint import read_checkpoint
from providers.local.asr.whisper.decoder_graph import cross_kv_graph, decoder_graph
from providers.local.asr.whisper.encoder_graph import encoder_graph


def export(model: Path, folder: Path) -> None:
    """Write the three graphs of the model. Raises UnreadableCheckpoint."""
    checkpoint = read_checkpoint(model / "model.bin")
    for build, name in ((encoder_graph, ENCODER), (cross_kv_graph, CROSS_KV), (decoder_graph, DECODER)):
        onnx.save(build(checkpoint), folder / name)


if __name__ == "__main__":
    try:
        export(Path(sys.argv[1]), Path(sys.argv[2]))
    except UnreadableCheckpoint as error:
        sys.exit(str(error))
