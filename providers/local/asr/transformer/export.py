"""`python -m providers.local.asr.transformer.export MODEL FOLDER`: the networks of a model, as files."""

import sys
from pathlib import Path

import onnx

from providers.local.asr.transformer.checkpoint import UnreadableCheckpoint, read_checkpoint
from providers.local.asr.transformer.decoder_graph import listening, writing
from providers.local.asr.transformer.encoder_graph import encoding
from providers.local.asr.transformer.graph_cache import ENCODING, LISTENING, WRITING


def main(model: Path, into: Path) -> None:
    checkpoint = read_checkpoint(model / "model.bin")
    for make, name in ((encoding, ENCODING), (listening, LISTENING), (writing, WRITING)):
        onnx.save(make(checkpoint), into / name)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except UnreadableCheckpoint as error:
        sys.exit(str(error))
