"""Files of a published model and of its exported graphs, and the sizes that both share."""

from enum import StrEnum

ENCODER_FILE, DECODER_FILE, TOKENIZER_FILE = "encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"

EMBEDDINGS, EMBEDDING_SCALE = "embeddings.npy", "embedding-scale.npy"
"""The embeddings as they are stored: integers (vocabulary, width); their scale and their zero point."""

MIN_SAMPLES = 895
"""Samples that give one position of the encoder's output."""

SAMPLES_PER_POSITION = 384

MAX_POSITIONS = 194
"""Tokens of a whole sequence that the published models were trained with."""


class Precision(StrEnum):
    """How the linear layers of an encoder are computed."""

    INT8 = "int8"
    """Exact where products of 8-bit integers are added without overflow: VNNI, ARM."""

    INT7 = "int7"
    """Weights of 7 bits: no overflow on AVX2."""

    FLOAT32 = "float32"


def encoder_file(precision: Precision) -> str:
    return f"encoder-{precision}.onnx"
