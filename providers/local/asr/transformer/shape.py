"""The sizes of a model's decoder, and the names of its graphs' key/value inputs and outputs."""

from dataclasses import dataclass

from providers.local.asr.transformer.checkpoint import Checkpoint, UnreadableCheckpoint

BLOCK = 128
"""Weights that share a quantization scale."""

_GELU = 3
"""CTranslate2's number for the activation that Whisper was trained with."""


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes of one model's decoder; `width` is d_model."""

    layers: int
    heads: int
    width: int

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


def shape_of(checkpoint: Checkpoint) -> DecoderShape:
    """Raises UnreadableCheckpoint where the model's architecture is not that of these graphs."""
    width = checkpoint.stored("decoder/embeddings/weight").shape[1]
    heads = checkpoint.setting("decoder/num_heads", 0)
    if not heads or width % heads or width % BLOCK:
        raise UnreadableCheckpoint(f"{heads} heads over {width} numbers")
    if checkpoint.setting("decoder/activation", _GELU) != _GELU or not checkpoint.setting("decoder/pre_norm", 1):
        raise UnreadableCheckpoint("its blocks are not Whisper's")
    return DecoderShape(checkpoint.layer_count("decoder"), heads, width)


def cross_names(shape: DecoderShape) -> list[str]:
    """Cross-attention keys (1, heads, head_dim, T) and values (1, heads, T, head_dim) of each layer."""
    return [f"cross_{part}_{layer}" for layer in range(shape.layers) for part in ("k", "v")]


def self_names(shape: DecoderShape, when: str = "past") -> list[str]:
    """Self-attention keys and values (1, heads, tokens, head_dim) of each layer; `when` is `past` or `present`."""
    return [f"{when}_{part}_{layer}" for layer in range(shape.layers) for part in ("k", "v")]
