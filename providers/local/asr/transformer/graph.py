"""Build an ONNX graph node by node from a checkpoint's weights, quantized to 8 bits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from providers.local.asr.transformer.checkpoint import Checkpoint, Floats
from providers.local.asr.transformer.shape import BLOCK, DecoderShape

CONTRIB = "com.microsoft"
"""The domain of onnxruntime's own operators."""

_EPSILON = 1e-12


@dataclass(slots=True)
class GraphBuilder:
    """An ONNX graph under construction; methods return the name of the value they add."""

    checkpoint: Checkpoint
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def split(self, value: str, parts: int) -> list[str]:
        outputs = [f"{value}_{part}" for part in range(parts)]
        self.nodes.append(helper.make_node("Split", [value], outputs, axis=-1))
        return outputs

    def norm(self, value: str, name: str, output: str = "") -> str:
        scale, shift = (self.constant(self.checkpoint.dequantized(f"{name}/{part}")) for part in ("gamma", "beta"))
        return self.add("LayerNormalization", [value, scale, shift], output, axis=-1, epsilon=1e-5)

    def linear(self, value: str, name: str, *, scale: float = 1.0) -> str:
        """A linear layer of the checkpoint, for few rows at a time; its output is multiplied with `scale`."""
        weight, bias = (self.checkpoint.dequantized(f"{name}/{part}") for part in ("weight", "bias"))
        return self.matmul(value, weight * np.float32(scale), bias * np.float32(scale))

    def matmul(self, value: str, weight: Floats, bias: Floats | None, output: str = "") -> str:
        """`value` (..., inputs) times `weight` (outputs, inputs), plus `bias` (outputs)."""
        quantized, scales = _quantized_in_blocks(weight)
        product = self.add(
            "MatMulNBits",
            [value, self.constant(quantized), self.constant(scales)],
            output if bias is None else "",
            domain=CONTRIB,
            N=weight.shape[0],
            K=weight.shape[1],
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # activations are quantized to 8 bits too, block by block
        )
        return product if bias is None else self.add("Add", [product, self.constant(bias)], output)

    def linear_for_many_rows(self, value: str, name: str) -> str:
        """A linear layer of the checkpoint, for many rows at a time: 8 bits, one scale a row of weights.

        DynamicQuantizeMatMul quantizes all rows of `value` on one scale; divided by their largest magnitude before, and
        multiplied with it afterwards, each row has its own.
        """
        weight, bias = (self.checkpoint.dequantized(f"{name}/{part}") for part in ("weight", "bias"))
        scales = _max_magnitude(weight, axis=1) / np.float32(127)
        quantized = np.rint(weight / scales[:, None]).astype(np.int8)
        magnitudes = self.add("ReduceMax", [self.add("Abs", [value])], axes=(-1,), keepdims=1)
        normalized = self.add(
            "Div", [value, self.add("Max", [magnitudes, self.constant(np.array([_EPSILON], np.float32))])]
        )
        weights = [self.constant(quantized.T), self.constant(scales)]
        product = self.add("DynamicQuantizeMatMul", [normalized, *weights], domain=CONTRIB)
        return self.add("Add", [self.add("Mul", [product, magnitudes]), self.constant(bias)])

    def split_heads(self, value: str, shape: DecoderShape) -> str:
        """(1, n, width) as (1, n, heads, head_dim)."""
        return self.add("Reshape", [value, self.constant(np.array([0, 0, shape.heads, shape.head_dim]))])

    def causal_attention(self, inputs: Sequence[str], present: Sequence[str], shape: DecoderShape) -> str:
        """Masked multi-head self-attention; `present` names its key and value outputs."""
        output = f"value_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                "MultiHeadAttention",
                inputs,
                [output, *present],
                domain=CONTRIB,
                num_heads=shape.heads,
                unidirectional=1,
            )
        )
        return output

    def model(self, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]) -> ModelProto:
        graph = helper.make_graph(self.nodes, "whisper", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _quantized_in_blocks(weight: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Integers with zero point 128, shape (outputs, blocks, BLOCK), and their scales, shape (outputs * blocks,)."""
    blocks = weight.reshape(weight.shape[0], -1, BLOCK)
    scales = _max_magnitude(blocks, axis=2) / np.float32(127)
    quantized = np.rint(blocks / scales[:, :, None])
    return (quantized + 128).astype(np.uint8), scales.reshape(-1)


def _max_magnitude(weight: Floats, axis: int) -> Floats:
    """The largest absolute value along an axis, never zero."""
    magnitude: Floats = np.maximum(np.abs(weight).max(axis=axis), np.float32(_EPSILON))
    return magnitude


def tensor(name: str, shape: Sequence[int | str], element_type: int = TensorProto.FLOAT) -> ValueInfoProto:
    """Declares an input or output of a graph; a string in `shape` is a size that varies."""
    return helper.make_tensor_value_info(name, element_type, shape)
