"""A network for onnxruntime, written down node by node with a checkpoint's weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from providers.local.asr.transformer.checkpoint import Checkpoint, Numbers
from providers.local.asr.transformer.shape import BLOCK, DecoderShape

CONTRIB = "com.microsoft"
_LEAST = 1e-12


@dataclass(slots=True)
class GraphBuilder:
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

    def norm(self, value: str, name: str, output: str = "") -> str:
        scale, shift = (self.constant(self.checkpoint.numbers(f"{name}/{part}")) for part in ("gamma", "beta"))
        return self.add("LayerNormalization", [value, scale, shift], output, axis=-1, epsilon=1e-5)

    def named(self, value: str, name: str, *, scale: float = 1.0) -> str:
        """A linear map of the checkpoint, for few rows at a time."""
        weight, bias = (self.checkpoint.numbers(f"{name}/{part}") for part in ("weight", "bias"))
        return self.linear(value, weight * np.float32(scale), bias * np.float32(scale))

    def linear(self, value: str, weight: Numbers, bias: Numbers | None, output: str = "") -> str:
        """`value` (..., inputs) times `weight` (outputs, inputs), plus `bias`."""
        quantized, scales = _in_blocks(weight)
        product = self.add(
            "MatMulNBits",
            [value, self.constant(quantized), self.constant(scales)],
            output if bias is None else "",
            domain=CONTRIB,
            N=weight.shape[0],
            K=weight.shape[1],
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # what flows in is made 8-bit integers too, block by block
        )
        return product if bias is None else self.add("Add", [product, self.constant(bias)], output)

    def named_for_many(self, value: str, name: str) -> str:
        """A linear map of the checkpoint, for many rows at a time.

        onnxruntime makes all rows integers on one scale; divided by their largest number before, and multiplied with
        it behind, each has its own.
        """
        weight, bias = (self.checkpoint.numbers(f"{name}/{part}") for part in ("weight", "bias"))
        scales = _largest(weight, axis=1) / np.float32(127)
        steps = np.rint(weight / scales[:, None]).astype(np.int8)
        sizes = self.add("ReduceMax", [self.add("Abs", [value])], axes=(-1,), keepdims=1)
        alike = self.add("Div", [value, self.add("Max", [sizes, self.constant(np.array([_LEAST], np.float32))])])
        integers = [self.constant(steps.T), self.constant(scales)]
        product = self.add("DynamicQuantizeMatMul", [alike, *integers], domain=CONTRIB)
        return self.add("Add", [self.add("Mul", [product, sizes]), self.constant(bias)])

    def heads(self, value: str, shape: DecoderShape) -> str:
        """(1, n, width) as (1, n, heads, head)."""
        return self.add("Reshape", [value, self.constant(np.array([0, 0, shape.heads, shape.head]))])

    def attention(self, inputs: Sequence[str], past: Sequence[str], shape: DecoderShape) -> str:
        """Every token looks at itself and those before it."""
        output = f"value_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                "MultiHeadAttention",
                inputs,
                [output, *past],
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


def _in_blocks(weight: Numbers) -> tuple[NDArray[np.uint8], Numbers]:
    """Integers around 128, shape (outputs, blocks, 128), and what one step of them is worth in each block."""
    blocks = weight.reshape(weight.shape[0], -1, BLOCK)
    scales = _largest(blocks, axis=2) / np.float32(127)
    steps = np.rint(blocks / scales[:, :, None])
    return (steps + 128).astype(np.uint8), scales.reshape(-1)


def _largest(weight: Numbers, axis: int) -> Numbers:
    """The largest size of a number along an axis; a little more than nothing where all are zero."""
    largest: Numbers = np.maximum(np.abs(weight).max(axis=axis), np.float32(_LEAST))
    return largest


def value(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
