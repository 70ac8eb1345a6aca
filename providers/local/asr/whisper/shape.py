"""The sizes of a Whisper model, by its checkpoint."""

from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.shape import BLOCK, DecoderShape
from providers.local.asr.whisper.checkpoint import Checkpoint

_GELU = 3
"""CTranslate2's number for the activation that Whisper was trained with."""


def shape_of(checkpoint: Checkpoint) -> DecoderShape:
    """Raises UnreadableCheckpoint where the model's architecture is not that of these graphs."""
    width = checkpoint.stored("decoder/embeddings/weight").shape[1]
    heads = checkpoint.setting("decoder/num_heads", 0)
    if not heads or width % heads or width % BLOCK:
        raise UnreadableCheckpoint(f"{heads} heads over {width} numbers")
    if checkpoint.setting("decoder/activation", _GELU) != _GELU or not checkpoint.setting("decoder/pre_norm", 1):
        raise UnreadableCheckpoint("its blocks are not Whisper's")
    return DecoderShape(checkpoint.layer_count("decoder"), heads, width)
