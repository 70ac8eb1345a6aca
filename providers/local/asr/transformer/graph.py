"""Build an ONNX graph node by node, with weights of 7 or 8 bits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from providers.local.asr.transformer.encoder_path import EncoderPath
from providers.local.asr.transformer.quantization import (
    EPSILON,
    ZERO,
    Floats,
    QuantizedRows,
    as_unsigned,
    in_blocks,
    quantize_in_blocks,
    quantize_rows,
)
from providers.local.asr.transformer.shape import BLOCK, DecoderShape, cross_names, self_names

CONTRIB = "com.microsoft"
"""The domain of onnxruntime's own operators."""


@dataclass(slots=True)
class GraphBuilder:
    """An ONNX graph under construction; methods return the name of the value they add."""

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

    def layer_norm(self, value: str, scale: Floats, shift: Floats | None = None, output: str = "") -> str:
        inputs = [value, self.constant(scale), self.constant(np.zeros_like(scale) if shift is None else shift)]
        return self.add("LayerNormalization", inputs, output, axis=-1, epsilon=1e-5)

    def matmul(self, value: str, weight: Floats | QuantizedRows, bias: Floats | None = None, output: str = "") -> str:
        """`value` (..., inputs) times `weight` (outputs, inputs), plus `bias` (outputs), for few rows at a time.

        Floats are quantized in blocks of 128; integers that are quantized already stay as they are.
        """
        blocks = quantize_in_blocks(weight, BLOCK) if isinstance(weight, np.ndarray) else in_blocks(weight)
        inputs = [value, self.constant(blocks.integers), self.constant(blocks.scales)]
        if blocks.zeros is not None:
            inputs.append(self.constant(blocks.zeros))
        outputs, width = weight.shape
        product = self.add(
            "MatMulNBits",
            inputs,
            output if bias is None else "",
            domain=CONTRIB,
            N=outputs,
            K=width,
            bits=8,
            block_size=blocks.integers.shape[2],
            accuracy_level=4,  # activations are quantized to 8 bits too, block by block
        )
        return product if bias is None else self.add("Add", [product, self.constant(bias)], output)

    def matmul_for_many_rows(self, value: str, weight: Floats, bias: Floats | None, path: EncoderPath) -> str:
        """The same for many rows at a time, with one scale a row of weights; `path` is one of integers.

        DynamicQuantizeMatMul quantizes all rows of `value` on one scale; divided by their largest magnitude before, and
        multiplied with it afterwards, each row has its own.
        """
        quantized, scales = quantize_rows(weight, bits=7 if path is EncoderPath.INT7 else 8)
        magnitudes = self.add("ReduceMax", [self.add("Abs", [value])], axes=(-1,), keepdims=1)
        least = self.constant(np.array([EPSILON], np.float32))
        normalized = self.add("Div", [value, self.add("Max", [magnitudes, least])])
        if path is EncoderPath.UINT8:
            unsigned, zeros = as_unsigned(quantized), np.full(len(scales), ZERO, np.uint8)
            weights = [self.constant(unsigned.T), self.constant(scales), self.constant(zeros)]
        else:
            weights = [self.constant(quantized.T), self.constant(scales)]
        product = self.add("DynamicQuantizeMatMul", [normalized, *weights], domain=CONTRIB)
        scaled = self.add("Mul", [product, magnitudes])
        return scaled if bias is None else self.add("Add", [scaled, self.constant(bias)])

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

    def cross_attention(self, query: str, layer: int, shape: DecoderShape) -> tuple[str, str]:
        """Attention of `query` (1, n, width), already scaled, to the keys and values of the encoder's output.

        Returns what it gathers (1, n, width), and its weights (1, heads, n, T).
        """
        query = self.add("Transpose", [self.split_heads(query, shape)], perm=(0, 2, 1, 3))
        weights = self.add("Softmax", [self.add("MatMul", [query, f"cross_k_{layer}"])], axis=-1)
        gathered = self.add("Transpose", [self.add("MatMul", [weights, f"cross_v_{layer}"])], perm=(0, 2, 1, 3))
        return self.add("Reshape", [gathered, self.constant(np.array([0, 0, shape.width]))]), weights

    def attention_output(self, weights: Sequence[str], heads: Sequence[tuple[int, int]]) -> ValueInfoProto:
        """The output `attention` (heads, n, T): of the layers' cross-attention weights, these layers and heads."""
        picked = [
            self.add("Gather", [weights[layer], self.constant(np.array([head]))], axis=1) for layer, head in heads
        ]
        together = self.add("Concat", picked, axis=1)
        self.add("Squeeze", [together, self.constant(np.array([0]))], "attention")
        return tensor("attention", [len(heads), "n", "T"])

    def model(self, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]) -> ModelProto:
        graph = helper.make_graph(self.nodes, "transcriber", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def tensor(name: str, shape: Sequence[int | str], element_type: int = TensorProto.FLOAT) -> ValueInfoProto:
    """Declares an input or output of a graph; a string in `shape` is a size that varies."""
    return helper.make_tensor_value_info(name, element_type, shape)


def cross_tensor(name: str, shape: DecoderShape) -> ValueInfoProto:
    """Declares cross-attention keys or values, by their name."""
    is_key = name.startswith("cross_k")
    return tensor(name, [1, shape.heads, *((shape.head_dim, "T") if is_key else ("T", shape.head_dim))])


def step_tensors(shape: DecoderShape, vocabulary: int) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    """The inputs and outputs of a decoder's step, apart from its tokens and what is told of attention."""
    inputs = [tensor("rows", ["r"], TensorProto.INT64)]
    inputs += [cross_tensor(name, shape) for name in cross_names(shape)]
    inputs += [tensor(name, [1, shape.heads, "past", shape.head_dim]) for name in self_names(shape)]
    outputs = [tensor("logits", ["r", vocabulary])]
    outputs += [tensor(name, [1, shape.heads, "present", shape.head_dim]) for name in self_names(shape, "present")]
    return inputs, outputs
