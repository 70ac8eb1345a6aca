"""Moonshine's decoder as two ONNX graphs, made of the published weights.

Jeffries et al. (2024): pre-norm blocks of self-attention with rotary position embeddings, cross-attention to the
encoder's output, and a gated feed-forward network. Weights are the 8-bit integers of the published files.
"""

import numpy as np
from onnx import ModelProto, TensorProto

from providers.local.asr.moonshine.rotary import rotated
from providers.local.asr.moonshine.weights import MoonshineWeights
from providers.local.asr.transformer.graph import CONTRIB, GraphBuilder, cross_tensor, step_tensors, tensor
from providers.local.asr.transformer.quantization import Floats, stacked
from providers.local.asr.transformer.shape import cross_names

ALIGNMENT_HEADS = ((5, 5), (4, 2), (6, 1), (6, 4), (5, 6), (6, 0))
"""Layer and head of the base model whose attention follows the words, best first."""


def cross_kv_graph(weights: MoonshineWeights) -> ModelProto:
    """From `memory`, the encoder's output (1, T, width), to the cross-attention keys and values of `cross_names`."""
    graph, shape = GraphBuilder(), weights.decoder
    for layer in range(shape.layers):
        for part, name, order in (("k", "cross_key", (0, 2, 3, 1)), ("v", "cross_value", (0, 2, 1, 3))):
            projected = graph.matmul("memory", stacked([weights.matrices[f"decoder/{layer}/{name}"]]))
            graph.add("Transpose", [graph.split_heads(projected, shape)], f"cross_{part}_{layer}", perm=order)
    outputs = [cross_tensor(name, shape) for name in cross_names(shape)]
    return graph.model([tensor("memory", [1, "T", shape.width])], outputs)


def decoder_graph(weights: MoonshineWeights) -> ModelProto:
    """One step of the decoder over n new tokens.

    Inputs: `embeddings` (1, n, width) of the new tokens, `start` (1,) the position of the first, `rows` (r,) of those
    whose logits are wanted, cross-attention and past self-attention keys and values. Outputs: `logits` (r, vocabulary),
    the self-attention keys and values of past and new tokens, and `attention` (heads, n, T), where the alignment heads
    attended for each new token.
    """
    graph, shape = GraphBuilder(), weights.decoder
    hidden, attention = "embeddings", list[str]()
    for layer in range(shape.layers):
        hidden, weights_of_layer = _block(graph, weights, layer, hidden)
        attention.append(weights_of_layer)
    hidden = graph.add("Gather", [hidden, "rows"], axis=1)
    hidden = graph.layer_norm(hidden, weights.vectors["decoder_norm.weight"])
    hidden = graph.add("Squeeze", [hidden, graph.constant(np.array([0]))])
    graph.matmul(hidden, stacked([weights.matrices["embeddings"]]), output="logits")
    heads = [(layer, head) for layer, head in ALIGNMENT_HEADS if layer < shape.layers and head < shape.heads]
    picked = graph.attention_output(attention, heads)
    inputs, outputs = step_tensors(shape, weights.matrices["embeddings"].integers.shape[0])
    inputs = [tensor("embeddings", [1, "n", shape.width]), tensor("start", [1], TensorProto.INT64), *inputs]
    return graph.model(inputs, [*outputs, picked])


def _block(graph: GraphBuilder, weights: MoonshineWeights, layer: int, hidden: str) -> tuple[str, str]:
    """One layer: self-attention, cross-attention and a feed-forward network; and the weights of its cross-attention."""
    shape, name = weights.decoder, f"decoder/{layer}"

    def norm(value: str, which: str) -> str:
        return graph.layer_norm(value, weights.vectors[f"{name}/{which}"])

    def linear(value: str, *layers: str, bias: Floats | None = None, scale: float = 1.0) -> str:
        rows = stacked([weights.matrices[f"{name}/{each}"] for each in layers], scale=scale)
        return graph.matmul(value, rows, bias)

    query, key, value = graph.split(linear(norm(hidden, "self_norm"), "query", "key", "value"), 3)
    query, key = (rotated(graph, each, "start", shape) for each in (query, key))
    past, present = ([f"{when}_{part}_{layer}" for part in ("k", "v")] for when in ("past", "present"))
    attended = graph.causal_attention([query, key, value, "", "", "", *past], present, shape)
    hidden = graph.add("Add", [hidden, linear(attended, "output")])

    # The scale of attention is put into the weights: softmax(q k / sqrt(head_dim)).
    query = linear(norm(hidden, "second_norm"), "cross_query", scale=shape.head_dim**-0.5)
    attended, attention = graph.cross_attention(query, layer, shape)
    hidden = graph.add("Add", [hidden, linear(attended, "cross_output")])

    inner = linear(norm(hidden, "third_norm"), "up", bias=weights.vectors[f"{name}/up_bias"])
    plain, gate = graph.split(inner, 2)
    gated = graph.add("Mul", [graph.add("QuickGelu", [gate], domain=CONTRIB, alpha=1.0), plain])
    down = linear(gated, "down", bias=weights.vectors[f"{name}/down_bias"])
    return graph.add("Add", [hidden, down]), attention
