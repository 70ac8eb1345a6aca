"""How large a model's decoder is, and what flows into its networks and out of them."""

from dataclasses import dataclass

from providers.local.asr.transformer.checkpoint import Checkpoint, UnreadableCheckpoint

BLOCK = 128
"""Weights that share a scale."""

_GELU = 3
"""CTranslate2's number for the activation that Whisper was trained with."""


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """The sizes of one model."""

    layers: int
    heads: int
    width: int

    @property
    def head(self) -> int:
        """Numbers in one head."""
        return self.width // self.heads


def shape_of(checkpoint: Checkpoint) -> DecoderShape:
    """Raises Unreadable where the model is built otherwise than these networks are."""
    width = checkpoint.stored("decoder/embeddings/weight").shape[1]
    heads = checkpoint.number("decoder/num_heads", 0)
    if not heads or width % heads or width % BLOCK:
        raise UnreadableCheckpoint(f"{heads} heads over {width} numbers")
    if checkpoint.number("decoder/activation", _GELU) != _GELU or not checkpoint.number("decoder/pre_norm", 1):
        raise UnreadableCheckpoint("its blocks are not Whisper's")
    return DecoderShape(checkpoint.layers("decoder"), heads, width)


def cross_names(shape: DecoderShape) -> list[str]:
    """What the decoder looks at in the sound: keys (1, heads, head, T) and values (1, heads, T, head) of each layer."""
    return [f"heard_{part}_{layer}" for layer in range(shape.layers) for part in ("keys", "values")]


def past_names(shape: DecoderShape, when: str = "past") -> list[str]:
    """Keys and values of the tokens so far, (1, heads, tokens, head) in each layer."""
    return [f"{when}_{part}_{layer}" for layer in range(shape.layers) for part in ("keys", "values")]
