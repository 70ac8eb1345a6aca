"""`python -m providers.local.decoder.make MODEL FOLDER`: the networks of a model, as files."""

import sys
from pathlib import Path

import onnx

from providers.local.decoder.checkpoint import Unreadable, read_checkpoint
from providers.local.decoder.graph import listening, writing
from providers.local.decoder.networks import LISTENING, WRITING


def main(model: Path, into: Path) -> None:
    checkpoint = read_checkpoint(model / "model.bin")
    onnx.save(listening(checkpoint), into / LISTENING)
    onnx.save(writing(checkpoint), into / WRITING)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except Unreadable as error:
        sys.exit(str(error))
