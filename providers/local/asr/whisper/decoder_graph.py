"""Whisper's decoder as two ONNX graphs, made of a checkpoint's weights.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022): pre-norm blocks of self-attention,
cross-attention to the encoder's output, and a feed-forward network. Weights are 8-bit integers in blocks of 128 with a
scale each, so that a step reads a quarter of the memory; activations are float32.
"""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto

from providers.local.asr.transformer.graph import CONTRIB, cross_tensor, step_tensors, tensor
from providers.local.asr.transformer.shape import DecoderShape, cross_names
from providers.local.asr.whisper.checkpoint import Checkpoint
from providers.local.asr.whisper.checkpoint_graph import CheckpointGraph
from providers.local.asr.whisper.shape import shape_of


def cross_kv_graph(checkpoint: Checkpoint) -> ModelProto:
    """From `memory`, the encoder's output (1, T, width), to the cross-attention keys and values of `cross_names`."""
    shape = shape_of(checkpoint)
    graph = CheckpointGraph(checkpoint=checkpoint)
    for layer in range(shape.layers):
        weight = checkpoint.dequantized(f"decoder/layer_{layer}/attention/linear_1/weight")
        bias = checkpoint.dequantized(f"decoder/layer_{layer}/attention/linear_1/bias")
        for part, rows, order in (
            ("k", slice(shape.width), (0, 2, 3, 1)),
            ("v", slice(shape.width, None), (0, 2, 1, 3)),
        ):
            projected = graph.matmul("memory", weight[rows], bias[rows])
            graph.add("Transpose", [graph.split_heads(projected, shape)], f"cross_{part}_{layer}", perm=order)
    outputs = [cross_tensor(name, shape) for name in cross_names(shape)]
    return graph.model([tensor("memory", [1, "T", shape.width])], outputs)


def decoder_graph(checkpoint: Checkpoint, alignment_heads: Sequence[tuple[int, int]] = ()) -> ModelProto:
    """One step of the decoder over n new tokens.

    `alignment_heads` are layers and heads whose attention follows the words; without them all of the upper half do, as
    in openai/whisper.

    Inputs: `embeddings` (1, n, width) of the new tokens, `rows` (r,) of those whose logits are wanted, cross-attention
    and past self-attention keys and values. Outputs: `logits` (r, vocabulary), the self-attention keys and values of
    past and new tokens, and `attention` (heads, n, T), where the alignment heads attended for each new token.
    """
    shape = shape_of(checkpoint)
    graph = CheckpointGraph(checkpoint=checkpoint)
    hidden, attention = "embeddings", list[str]()
    for layer in range(shape.layers):
        hidden, weights = _block(graph, shape, layer, hidden)
        attention.append(weights)
    hidden = graph.add("Gather", [hidden, "rows"], axis=1)
    hidden = graph.norm(hidden, "decoder/layer_norm")
    hidden = graph.add("Squeeze", [hidden, graph.constant(np.array([0]))])
    graph.matmul(hidden, checkpoint.dequantized("decoder/projection/weight"), output="logits")
    upper = [(layer, head) for layer in range(shape.layers // 2, shape.layers) for head in range(shape.heads)]
    picked = graph.attention_output(attention, alignment_heads or upper)
    inputs, outputs = step_tensors(shape, checkpoint.stored("decoder/projection/weight").shape[0])
    return graph.model([tensor("embeddings", [1, "n", shape.width]), *inputs], [*outputs, picked])


def _block(graph: CheckpointGraph, shape: DecoderShape, layer: int, hidden: str) -> tuple[str, str]:
    """One layer: self-attention, cross-attention and a feed-forward network, each with a residual connection.

    Also returns the weights of its cross-attention.
    """
    name = f"decoder/layer_{layer}"
    normed = graph.norm(hidden, f"{name}/self_attention/layer_norm")
    query_key_value = graph.split(graph.linear(normed, f"{name}/self_attention/linear_0"), 3)
    past, present = ([f"{when}_{part}_{layer}" for part in ("k", "v")] for when in ("past", "present"))
    attended = graph.causal_attention([*query_key_value, "", "", "", *past], present, shape)
    hidden = graph.add("Add", [hidden, graph.linear(attended, f"{name}/self_attention/linear_1")])

    normed = graph.norm(hidden, f"{name}/attention/layer_norm")
    # The scale of attention is put into the weights: softmax(q k / sqrt(head_dim)).
    query = graph.linear(normed, f"{name}/attention/linear_0", scale=shape.head_dim**-0.5)
    attended, attention = graph.cross_attention(query, layer, shape)
    hidden = graph.add("Add", [hidden, graph.linear(attended, f"{name}/attention/linear_2")])

    normed = graph.norm(hidden, f"{name}/ffn/layer_norm")
    inner = graph.add("Gelu", [graph.linear(normed, f"{name}/ffn/linear_0")], domain=CONTRIB)
    return graph.add("Add", [hidden, graph.linear(inner, f"{name}/ffn/linear_1")]), attention
