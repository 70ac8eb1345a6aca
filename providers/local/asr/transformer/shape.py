"""The sizes of a model's decoder, and the names of its graphs' key/value inputs and outputs."""

from dataclasses import dataclass

BLOCK = 128
"""Weights that share a quantization scale."""


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


def cross_names(shape: DecoderShape) -> list[str]:
    """Cross-attention keys (1, heads, head_dim, T) and values (1, heads, T, head_dim) of each layer."""
    return [f"cross_{part}_{layer}" for layer in range(shape.layers) for part in ("k", "v")]


def self_names(shape: DecoderShape, when: str = "past") -> list[str]:
    """Self-attention keys and values (1, heads, tokens, head_dim) of each layer; `when` is `past` or `present`."""
    return [f"{when}_{part}_{layer}" for layer in range(shape.layers) for part in ("k", "v")]
