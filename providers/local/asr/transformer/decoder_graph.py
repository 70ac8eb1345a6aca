"""Whisper's decoder as networks for onnxruntime, made of a checkpoint's weights.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022): pre-norm blocks of
self-attention, attention to what the encoder heard, and a feed-forward net. Weights are 8-bit integers in blocks of
128 with a scale each, so that a step reads a quarter of the memory; what flows between them is float32.
"""

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from providers.local.asr.transformer.checkpoint import Checkpoint
from providers.local.asr.transformer.graph import CONTRIB, GraphBuilder, value
from providers.local.asr.transformer.shape import DecoderShape, cross_names, past_names, shape_of


def listening(checkpoint: Checkpoint) -> ModelProto:
    """From `memory`, what the encoder made of a sound (1, T, width), to what `cross_names` says."""
    shape = shape_of(checkpoint)
    graph = GraphBuilder(checkpoint)
    for layer in range(shape.layers):
        weight = checkpoint.numbers(f"decoder/layer_{layer}/attention/linear_1/weight")
        bias = checkpoint.numbers(f"decoder/layer_{layer}/attention/linear_1/bias")
        for part, rows, order in (
            ("keys", slice(shape.width), (0, 2, 3, 1)),
            ("values", slice(shape.width, None), (0, 2, 1, 3)),
        ):
            flat = graph.linear("memory", weight[rows], bias[rows])
            graph.add("Transpose", [graph.heads(flat, shape)], f"heard_{part}_{layer}", perm=order)
    outputs = [_cross(name, shape) for name in cross_names(shape)]
    return graph.model([value("memory", [1, "T", shape.width])], outputs)


def writing(checkpoint: Checkpoint) -> ModelProto:
    """One step of the decoder.

    From `tokens` (1, n, width), their embeddings, with what was heard and the past, to `logits` (rows, vocabulary) of
    the tokens that `rows` names, and the past with the new tokens in it.
    """
    shape = shape_of(checkpoint)
    graph = GraphBuilder(checkpoint)
    flow = "tokens"
    for layer in range(shape.layers):
        flow = _block(graph, shape, layer, flow)
    flow = graph.add("Gather", [flow, "rows"], axis=1)
    flow = graph.norm(flow, "decoder/layer_norm")
    flow = graph.add("Squeeze", [flow, graph.constant(np.array([0]))])
    graph.linear(flow, checkpoint.numbers("decoder/projection/weight"), None, "logits")
    given = [value("tokens", [1, "n", shape.width]), value("rows", ["rows"], TensorProto.INT64)]
    given += [_cross(name, shape) for name in cross_names(shape)]
    given += [value(name, [1, shape.heads, "past", shape.head]) for name in past_names(shape)]
    made = [value("logits", ["rows", checkpoint.stored("decoder/projection/weight").shape[0]])]
    made += [value(name, [1, shape.heads, "all", shape.head]) for name in past_names(shape, "next")]
    return graph.model(given, made)


def _block(graph: "GraphBuilder", shape: DecoderShape, layer: int, flow: str) -> str:
    """One layer: what was written, what was heard, and what follows from it."""
    here = f"decoder/layer_{layer}"
    normal = graph.norm(flow, f"{here}/self_attention/layer_norm")
    parts = graph.split(graph.named(normal, f"{here}/self_attention/linear_0"), 3)
    past = [f"past_{part}_{layer}" for part in ("keys", "values")]
    seen = graph.attention([*parts, "", "", "", *past], [f"next_{part}_{layer}" for part in ("keys", "values")], shape)
    flow = graph.add("Add", [flow, graph.named(seen, f"{here}/self_attention/linear_1")])

    normal = graph.norm(flow, f"{here}/attention/layer_norm")
    # The scale of attention is put into the weights: softmax(q k / sqrt(head)).
    query = graph.heads(graph.named(normal, f"{here}/attention/linear_0", scale=shape.head**-0.5), shape)
    query = graph.add("Transpose", [query], perm=(0, 2, 1, 3))
    where = graph.add("Softmax", [graph.add("MatMul", [query, f"heard_keys_{layer}"])], axis=-1)
    heard = graph.add("Transpose", [graph.add("MatMul", [where, f"heard_values_{layer}"])], perm=(0, 2, 1, 3))
    heard = graph.add("Reshape", [heard, graph.constant(np.array([0, 0, shape.width]))])
    flow = graph.add("Add", [flow, graph.named(heard, f"{here}/attention/linear_2")])

    normal = graph.norm(flow, f"{here}/ffn/layer_norm")
    wide = graph.add("Gelu", [graph.named(normal, f"{here}/ffn/linear_0")], domain=CONTRIB)
    return graph.add("Add", [flow, graph.named(wide, f"{here}/ffn/linear_1")])


def _cross(name: str, shape: DecoderShape) -> ValueInfoProto:
    keys = name.startswith("heard_keys")
    return value(name, [1, shape.heads, *((shape.head, "T") if keys else ("T", shape.head))])
