"""Whisper's encoder as an ONNX graph, made of a checkpoint's weights.

Radford et al. (2022), as in `decoder_graph.py`. Hundreds of positions go through each linear layer at once, so weights
are integers of 7 or 8 bits with one scale a row, which the processor multiplies fastest.
"""

import numpy as np
from onnx import ModelProto

from providers.local.asr.transformer.encoder_path import EncoderPath
from providers.local.asr.transformer.graph import CONTRIB, tensor
from providers.local.asr.whisper.checkpoint import Checkpoint
from providers.local.asr.whisper.checkpoint_graph import CheckpointGraph

_FRAMES_PER_POSITION = 2


def encoder_graph(checkpoint: Checkpoint, path: EncoderPath) -> ModelProto:
    """From `features`, log-mel spectrograms (batch, bands, frames), to `memory` (batch, T, width).

    T is half of the frames, rounded up; there may be fewer than the 3000 frames of Whisper's training.
    """
    width, bands, _ = checkpoint.stored("encoder/conv1/weight").shape
    heads = checkpoint.setting("encoder/num_heads", 0)
    graph = CheckpointGraph(checkpoint=checkpoint)
    hidden = _convolution(graph, "features", "encoder/conv1", stride=1)
    hidden = _convolution(graph, hidden, "encoder/conv2", stride=_FRAMES_PER_POSITION)
    hidden = graph.add("Transpose", [hidden], perm=(0, 2, 1))
    zero = graph.constant(np.array([0]))
    length = graph.add("Gather", [graph.add("Shape", [hidden]), graph.constant(np.array([1]))])
    positions = graph.constant(checkpoint.dequantized("encoder/position_encodings/encodings"))
    hidden = graph.add("Add", [hidden, graph.add("Slice", [positions, zero, length, zero])])
    for layer in range(checkpoint.layer_count("encoder")):
        hidden = _block(graph, f"encoder/layer_{layer}", heads, path, hidden)
    graph.norm(hidden, "encoder/layer_norm", "memory")
    return graph.model([tensor("features", ["batch", bands, "frames"])], [tensor("memory", ["batch", "T", width])])


def _convolution(graph: CheckpointGraph, hidden: str, name: str, *, stride: int) -> str:
    weight, bias = (graph.constant(graph.checkpoint.dequantized(f"{name}/{part}")) for part in ("weight", "bias"))
    convolved = graph.add("Conv", [hidden, weight, bias], kernel_shape=(3,), pads=(1, 1), strides=(stride,))
    return graph.add("Gelu", [convolved], domain=CONTRIB)


def _block(graph: CheckpointGraph, name: str, heads: int, path: EncoderPath, hidden: str) -> str:
    """One layer: self-attention and a feed-forward network, each with a residual connection."""
    normed = graph.norm(hidden, f"{name}/self_attention/layer_norm")
    query_key_value = graph.split(graph.linear_for_many_rows(normed, f"{name}/self_attention/linear_0", path), 3)
    attended = graph.add("MultiHeadAttention", query_key_value, domain=CONTRIB, num_heads=heads)
    hidden = graph.add("Add", [hidden, graph.linear_for_many_rows(attended, f"{name}/self_attention/linear_1", path)])
    normed = graph.norm(hidden, f"{name}/ffn/layer_norm")
    inner = graph.add("Gelu", [graph.linear_for_many_rows(normed, f"{name}/ffn/linear_0", path)], domain=CONTRIB)
    return graph.add("Add", [hidden, graph.linear_for_many_rows(inner, f"{name}/ffn/linear_1", path)])
