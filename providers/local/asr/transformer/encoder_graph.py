"""Whisper's encoder as a network for onnxruntime, made of a checkpoint's weights.

Radford et al. (2022), as in `decoder_graph.py`. Hundreds of positions go through each map at once, so weights are 8-bit
integers with one scale a row, which the processor multiplies fastest.
"""

import numpy as np
from onnx import ModelProto

from providers.local.asr.transformer.checkpoint import Checkpoint
from providers.local.asr.transformer.graph import CONTRIB, GraphBuilder, value

_COLUMNS_A_POSITION = 2


def encoding(checkpoint: Checkpoint) -> ModelProto:
    """From `features`, a log-mel spectrogram (sounds, bands, columns), to `memory` (sounds, T, width).

    T is half of the columns, rounded up; there may be as few as one has sound for.
    """
    width, bands, _ = checkpoint.stored("encoder/conv1/weight").shape
    heads = checkpoint.number("encoder/num_heads", 0)
    graph = GraphBuilder(checkpoint)
    flow = _convolved(graph, "features", "encoder/conv1", stride=1)
    flow = _convolved(graph, flow, "encoder/conv2", stride=_COLUMNS_A_POSITION)
    flow = graph.add("Transpose", [flow], perm=(0, 2, 1))
    first = graph.constant(np.array([0]))
    length = graph.add("Gather", [graph.add("Shape", [flow]), graph.constant(np.array([1]))])
    positions = graph.constant(checkpoint.numbers("encoder/position_encodings/encodings"))
    flow = graph.add("Add", [flow, graph.add("Slice", [positions, first, length, first])])
    for layer in range(checkpoint.layers("encoder")):
        flow = _block(graph, f"encoder/layer_{layer}", heads, flow)
    graph.norm(flow, "encoder/layer_norm", "memory")
    return graph.model([value("features", ["sounds", bands, "columns"])], [value("memory", ["sounds", "T", width])])


def _convolved(graph: GraphBuilder, flow: str, name: str, *, stride: int) -> str:
    weight, bias = (graph.constant(graph.checkpoint.numbers(f"{name}/{part}")) for part in ("weight", "bias"))
    wide = graph.add("Conv", [flow, weight, bias], kernel_shape=(3,), pads=(1, 1), strides=(stride,))
    return graph.add("Gelu", [wide], domain=CONTRIB)


def _block(graph: GraphBuilder, here: str, heads: int, flow: str) -> str:
    """One layer: what was heard around each position, and what follows from it."""
    normal = graph.norm(flow, f"{here}/self_attention/layer_norm")
    parts = graph.split(graph.named_for_many(normal, f"{here}/self_attention/linear_0"), 3)
    seen = graph.add("MultiHeadAttention", parts, domain=CONTRIB, num_heads=heads)
    flow = graph.add("Add", [flow, graph.named_for_many(seen, f"{here}/self_attention/linear_1")])
    normal = graph.norm(flow, f"{here}/ffn/layer_norm")
    wide = graph.add("Gelu", [graph.named_for_many(normal, f"{here}/ffn/linear_0")], domain=CONTRIB)
    return graph.add("Add", [flow, graph.named_for_many(wide, f"{here}/ffn/linear_1")])
