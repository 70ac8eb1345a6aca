"""Whisper's decoder as networks for onnxruntime, made of a checkpoint's weights.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022): pre-norm blocks of
self-attention, attention to what the encoder heard, and a feed-forward net. Weights are 8-bit integers in blocks of
128 with a scale each, so that a step reads a quarter of the memory; what flows between them is float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from providers.local.decoder.checkpoint import Checkpoint, Numbers
from providers.local.decoder.shape import BLOCK, Shape, cross_names, past_names, shape_of

_CONTRIB = "com.microsoft"


def listening(checkpoint: Checkpoint) -> ModelProto:
    """From `memory`, what the encoder made of a sound (1, T, width), to what `cross_names` says."""
    shape = shape_of(checkpoint)
    graph = _Graph(checkpoint)
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
    return graph.model([_value("memory", [1, "T", shape.width])], outputs)


def writing(checkpoint: Checkpoint) -> ModelProto:
    """One step of the decoder.

    From `tokens` (1, n, width), their embeddings, with what was heard and the past, to `logits` (rows, vocabulary) of
    the tokens that `rows` names, and the past with the new tokens in it.
    """
    shape = shape_of(checkpoint)
    graph = _Graph(checkpoint)
    flow = "tokens"
    for layer in range(shape.layers):
        flow = _block(graph, shape, layer, flow)
    flow = graph.add("Gather", [flow, "rows"], axis=1)
    flow = graph.norm(flow, "decoder/layer_norm")
    flow = graph.add("Squeeze", [flow, graph.constant(np.array([0]))])
    graph.linear(flow, checkpoint.numbers("decoder/projection/weight"), None, "logits")
    given = [_value("tokens", [1, "n", shape.width]), _value("rows", ["rows"], TensorProto.INT64)]
    given += [_cross(name, shape) for name in cross_names(shape)]
    given += [_value(name, [1, shape.heads, "past", shape.head]) for name in past_names(shape)]
    made = [_value("logits", ["rows", checkpoint.stored("decoder/projection/weight").shape[0]])]
    made += [_value(name, [1, shape.heads, "all", shape.head]) for name in past_names(shape, "next")]
    return graph.model(given, made)


def _block(graph: "_Graph", shape: Shape, layer: int, flow: str) -> str:
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
    wide = graph.add("Gelu", [graph.named(normal, f"{here}/ffn/linear_0")], domain=_CONTRIB)
    return graph.add("Add", [flow, graph.named(wide, f"{here}/ffn/linear_1")])


@dataclass(slots=True)
class _Graph:
    """A network that is being written down; every method gives the name of what it adds."""

    checkpoint: Checkpoint
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def split(self, value: str, parts: int) -> list[str]:
        outputs = [f"{value}_{part}" for part in range(parts)]
        self.nodes.append(helper.make_node("Split", [value], outputs, axis=-1))
        return outputs

    def norm(self, value: str, name: str) -> str:
        scale, shift = (self.constant(self.checkpoint.numbers(f"{name}/{part}")) for part in ("gamma", "beta"))
        return self.add("LayerNormalization", [value, scale, shift], axis=-1, epsilon=1e-5)

    def named(self, value: str, name: str, *, scale: float = 1.0) -> str:
        """A linear map of the checkpoint."""
        weight, bias = (self.checkpoint.numbers(f"{name}/{part}") for part in ("weight", "bias"))
        return self.linear(value, weight * np.float32(scale), bias * np.float32(scale))

    def linear(self, value: str, weight: Numbers, bias: Numbers | None, output: str = "") -> str:
        """`value` (..., inputs) times `weight` (outputs, inputs), plus `bias`."""
        quantized, scales = _in_blocks(weight)
        product = self.add(
            "MatMulNBits",
            [value, self.constant(quantized), self.constant(scales)],
            output if bias is None else "",
            domain=_CONTRIB,
            N=weight.shape[0],
            K=weight.shape[1],
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # what flows in is made 8-bit integers too, block by block
        )
        return product if bias is None else self.add("Add", [product, self.constant(bias)], output)

    def heads(self, value: str, shape: Shape) -> str:
        """(1, n, width) as (1, n, heads, head)."""
        return self.add("Reshape", [value, self.constant(np.array([0, 0, shape.heads, shape.head]))])

    def attention(self, inputs: Sequence[str], past: Sequence[str], shape: Shape) -> str:
        """Every token looks at itself and those before it."""
        output = f"value_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                "MultiHeadAttention",
                inputs,
                [output, *past],
                domain=_CONTRIB,
                num_heads=shape.heads,
                unidirectional=1,
            )
        )
        return output

    def model(self, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]) -> ModelProto:
        graph = helper.make_graph(self.nodes, "whisper", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _in_blocks(weight: Numbers) -> tuple[NDArray[np.uint8], Numbers]:
    """Integers around 128, shape (outputs, blocks, 128), and what one step of them is worth in each block."""
    blocks = weight.reshape(weight.shape[0], -1, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=2), np.float32(1e-12)) / np.float32(127)
    steps = np.rint(blocks / scales[:, :, None])
    return (steps + 128).astype(np.uint8), scales.reshape(-1)


def _value(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _cross(name: str, shape: Shape) -> ValueInfoProto:
    keys = name.startswith("heard_keys")
    return _value(name, [1, shape.heads, *((shape.head, "T") if keys else ("T", shape.head))])
