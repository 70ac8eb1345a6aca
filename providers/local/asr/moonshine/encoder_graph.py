"""Moonshine's encoder as an ONNX graph, made of the published weights.

Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands" (2024): three convolutions
over raw samples, a normalization over the whole sound, then blocks with rotary position embeddings. Its cost grows with
the audio; nothing is padded.
"""

import numpy as np
from onnx import ModelProto

from providers.local.asr.moonshine.rotary import rotated
from providers.local.asr.moonshine.weights import MoonshineWeights
from providers.local.asr.transformer.encoder_path import EncoderPath
from providers.local.asr.transformer.graph import CONTRIB, GraphBuilder, tensor
from providers.local.asr.transformer.quantization import Floats

_NORMS = ("self_norm", "second_norm")


def encoder_graph(weights: MoonshineWeights, path: EncoderPath) -> ModelProto:
    """From `samples` (1, N), float32 in -1..1, N >= MIN_SAMPLES, to `memory` (1, T, width), T about N / 384."""
    graph, shape = GraphBuilder(), weights.decoder
    hidden = _positions(graph, weights)
    for layer in range(weights.encoder_layers):
        hidden = _block(graph, weights, f"encoder/{layer}", path, hidden)
    graph.layer_norm(hidden, weights.vectors["layer_norm.weight"], output="memory")
    return graph.model([tensor("samples", [1, "N"])], [tensor("memory", [1, "T", shape.width])])


def _positions(graph: GraphBuilder, weights: MoonshineWeights) -> str:
    """(1, T, width): the convolutions, and the normalization of the first one's output over the whole sound."""
    width = weights.decoder.width
    samples = graph.add("Unsqueeze", ["samples", graph.constant(np.array([1]))])
    first = graph.constant(weights.matrices["conv1"].dequantized())
    hidden = graph.add("Tanh", [graph.add("Conv", [samples, first], kernel_shape=(127,), strides=(64,))])
    # A group normalization with one group; the scale and shift of each channel are put into the next convolution.
    flat = graph.add("Reshape", [hidden, graph.constant(np.array([0, 1, -1]))])
    one, zero = (graph.constant(np.array([value], np.float32)) for value in (1, 0))
    flat = graph.add("InstanceNormalization", [flat, one, zero], epsilon=1e-5)
    hidden = graph.add("Reshape", [flat, graph.constant(np.array([0, width, -1]))])
    second = weights.matrices["conv2"].dequantized()
    scale, shift = (weights.vectors[f"group_norm.{part}"] for part in ("weight", "bias"))
    bias = weights.vectors["conv2.bias"] + np.einsum("oik,i->o", second, shift)
    hidden = _convolution(graph, hidden, second * scale[None, :, None], bias, width=7, stride=3)
    third = weights.matrices["conv3"].dequantized()
    hidden = _convolution(graph, hidden, third, weights.vectors["conv3.bias"], width=3, stride=2)
    return graph.add("Transpose", [hidden], perm=(0, 2, 1))


def _convolution(graph: GraphBuilder, hidden: str, weight: Floats, bias: Floats, *, width: int, stride: int) -> str:
    inputs = [hidden, graph.constant(weight), graph.constant(bias.astype(np.float32))]
    return graph.add("Gelu", [graph.add("Conv", inputs, kernel_shape=(width,), strides=(stride,))], domain=CONTRIB)


def _block(graph: GraphBuilder, weights: MoonshineWeights, name: str, path: EncoderPath, hidden: str) -> str:
    """One layer: self-attention and a feed-forward network, each with a residual connection."""
    norms = [weights.vectors[f"{name}/{norm}"] for norm in _NORMS]

    def linear(value: str, *layers: str, bias: Floats | None = None) -> str:
        weight = np.concatenate([weights.matrices[f"{name}/{layer}"].dequantized() for layer in layers])
        match path:
            case EncoderPath.FLOAT32:
                product = graph.add("MatMul", [value, graph.constant(weight.T)])
                return product if bias is None else graph.add("Add", [product, graph.constant(bias)])
            case _:
                return graph.matmul_for_many_rows(value, weight, bias, path)

    normed = graph.layer_norm(hidden, norms[0])
    query, key, value = graph.split(linear(normed, "query", "key", "value"), 3)
    start = graph.constant(np.array([0]))
    query, key = (rotated(graph, each, start, weights.decoder) for each in (query, key))
    attended = graph.add("MultiHeadAttention", [query, key, value], domain=CONTRIB, num_heads=weights.decoder.heads)
    hidden = graph.add("Add", [hidden, linear(attended, "output")])
    normed = graph.layer_norm(hidden, norms[1])
    inner = graph.add("Gelu", [linear(normed, "up", bias=weights.vectors[f"{name}/up_bias"])], domain=CONTRIB)
    return graph.add("Add", [hidden, linear(inner, "down", bias=weights.vectors[f"{name}/down_bias"])])
