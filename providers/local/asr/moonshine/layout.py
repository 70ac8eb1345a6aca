"""Files of a published model and of its exported graphs, and the sizes that both share."""

from providers.local.asr.transformer.encoder_path import EncoderPath

ENCODER_FILE, DECODER_FILE, TOKENIZER_FILE = "encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"

EMBEDDINGS, EMBEDDING_SCALE = "embeddings.npy", "embedding-scale.npy"
"""The embeddings as they are stored: integers (vocabulary, width); their scale and their zero point."""

MIN_SAMPLES = 895
"""Samples that give one position of the encoder's output."""

SAMPLES_PER_POSITION = 384

MAX_POSITIONS = 194
"""Tokens of a whole sequence that the published models were trained with."""


ENCODER_PATHS = (EncoderPath.INT8, EncoderPath.INT7, EncoderPath.UINT8, EncoderPath.FLOAT32)
"""Of which there are graphs."""


def encoder_file(path: EncoderPath) -> str:
    return f"encoder-{path}.onnx"
