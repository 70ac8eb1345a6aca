"""`python -m providers.local.transformer.make MODEL FOLDER`: the networks of a model, as files."""

import sys
from pathlib import Path

import onnx

from providers.local.transformer.checkpoint import Unreadable, read_checkpoint
from providers.local.transformer.decoder_graph import listening, writing
from providers.local.transformer.encoder_graph import encoding
from providers.local.transformer.networks import ENCODING, LISTENING, WRITING


def main(model: Path, into: Path) -> None:
    checkpoint = read_checkpoint(model / "model.bin")
    for make, name in ((encoding, ENCODING), (listening, LISTENING), (writing, WRITING)):
        onnx.save(make(checkpoint), into / name)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except Unreadable as error:
        sys.exit(str(error))
