"""Read the weights of a published Moonshine model (`encoder_model.ort`, `decoder_model_merged.ort`).

onnxruntime writes each file back as an ONNX model without optimizing it; the weights are found by the nodes that use
them, because the names of initializers differ between releases. A matrix is stored as 8-bit integers with one scale and
one zero point, either dequantized in the graph (`Cast`, `Mul`, `Add`) or given to an integer product.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from onnx import AttributeProto, ModelProto, NodeProto, numpy_helper

from providers.local.asr.moonshine.layout import DECODER_FILE, ENCODER_FILE
from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.quantization import Floats, QuantizedMatrix
from providers.local.asr.transformer.shape import DecoderShape
from providers.local.onnx import FAILURES

HEADS = 8
"""Attention heads of every published model; the graphs do not say it."""

_LINEAR = {
    "self_attn/q_proj": "query",
    "self_attn/k_proj": "key",
    "self_attn/v_proj": "value",
    "self_attn/o_proj": "output",
    "self_attn/dense": "output",
    "encoder_attn/q_proj": "cross_query",
    "encoder_attn/k_proj": "cross_key",
    "encoder_attn/v_proj": "cross_value",
    "encoder_attn/o_proj": "cross_output",
    "encoder_attn/dense": "cross_output",
    "mlp/fc1": "up",
    "mlp/fc2": "down",
    "mlp/up_proj": "up",
    "mlp/down_proj": "down",
}
"""Our name of each linear layer, by the path of its node inside its block."""

_VECTOR = {
    "input_layernorm.weight": "self_norm",
    "post_attention_layernorm.weight": "second_norm",
    "final_layernorm.weight": "third_norm",
    "mlp.fc1.bias": "up_bias",
    "mlp.fc2.bias": "down_bias",
    "mlp.up_proj.bias": "up_bias",
    "mlp.down_proj.bias": "down_bias",
}
"""Our name of each vector, by its name inside its block."""

_PRODUCTS = ("MatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")


@dataclass(frozen=True, slots=True)
class MoonshineWeights:
    """Weights by name: `encoder/0/query`, `decoder/3/up_bias`, `conv2`, `embeddings`."""

    matrices: Mapping[str, QuantizedMatrix]
    """Linear layers (outputs, inputs), `conv1` to `conv3` (outputs, inputs, size), `embeddings` (vocabulary, width)."""
    vectors: Mapping[str, Floats]

    @property
    def encoder_layers(self) -> int:
        return _layers(self.matrices, "encoder")

    @property
    def decoder(self) -> DecoderShape:
        return DecoderShape(_layers(self.matrices, "decoder"), HEADS, self.matrices["embeddings"].integers.shape[1])


def read_weights(folder: Path) -> MoonshineWeights:
    """The weights of the model in this folder. Blocking. Raises UnreadableCheckpoint."""
    matrices: dict[str, QuantizedMatrix] = {}
    vectors: dict[str, Floats] = {}
    encoder, decoder = _Stored(_as_onnx(folder / ENCODER_FILE)), _Stored(_as_onnx(folder / DECODER_FILE))
    for side, stored in (("encoder", encoder), ("decoder", decoder)):
        matrices |= {f"{side}/{name}": matrix for name, matrix in stored.linear_layers()}
        vectors |= {f"{side}/{name}": vector for name, vector in stored.block_vectors()}
    for number in (1, 2, 3):
        matrices[f"conv{number}"] = encoder.matrix(f"conv{number}.weight")
    for name in ("conv2.bias", "conv3.bias", "layer_norm.weight"):
        vectors[name] = encoder.vector(name)
    vectors["group_norm.weight"], vectors["group_norm.bias"] = encoder.group_norm()
    matrices["embeddings"] = decoder.matrix("model.decoder.embed_tokens.weight_merged_0")
    vectors["decoder_norm.weight"] = decoder.vector("model.decoder.norm.weight")
    return MoonshineWeights(matrices, vectors)


def _layers(names: Mapping[str, object], side: str) -> int:
    return len({name.split("/")[1] for name in names if name.startswith(f"{side}/")})


def _as_onnx(path: Path) -> ModelProto:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.save_model_format", "ONNX")
    with TemporaryDirectory(prefix="parley-onnx-") as folder:
        options.optimized_model_filepath = f"{folder}/model.onnx"
        try:
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except FAILURES as error:
            raise UnreadableCheckpoint(f"{path.name} is not a whole network") from error
        return onnx.load(options.optimized_model_filepath)


class _Stored:
    """Nodes and initializers of one file, those of its branches included."""

    def __init__(self, model: ModelProto) -> None:
        graphs = [model.graph, *_branches(model.graph.node)]
        self._nodes = [node for graph in graphs for node in graph.node]
        self._values = {one.name: numpy_helper.to_array(one) for graph in graphs for one in graph.initializer}

    def linear_layers(self) -> Iterator[tuple[str, QuantizedMatrix]]:
        """The matrix of each linear layer, by `LAYER/NAME`."""
        for node in self._nodes:
            path = node.name.removeprefix("/model/decoder")
            if node.op_type not in _PRODUCTS or not path.startswith("/layers."):
                continue
            _, block, layer = path.split("/", 2)
            name = _LINEAR.get(layer.split("/MatMul")[0])
            key = self._weight_of(node)
            if name and key:
                yield f"{block.removeprefix('layers.')}/{name}", self.matrix(key).transposed()

    def block_vectors(self) -> Iterator[tuple[str, Floats]]:
        for name, values in self._values.items():
            plain = name.removeprefix("model.decoder.").removesuffix("_merged_0")
            if plain.startswith("layers."):
                _, number, rest = plain.split(".", 2)
                if rest in _VECTOR:
                    yield f"{number}/{_VECTOR[rest]}", values.astype(np.float32)

    def vector(self, name: str) -> Floats:
        for key in (name, f"{name}_merged_0"):
            if key in self._values:
                return self._values[key].astype(np.float32)
        raise UnreadableCheckpoint(f"there is no {name}")

    def matrix(self, name: str) -> QuantizedMatrix:
        """As it is stored. Raises UnreadableCheckpoint."""
        try:
            integers, scale, zero = (self._values[f"{name}_{part}"] for part in ("quantized", "scale", "zero_point"))
        except KeyError as error:
            raise UnreadableCheckpoint(f"there is no {error.args[0]}") from error
        step = float(scale.reshape(-1)[0])
        if zero.dtype == np.float32:  # added after the product with the scale
            return QuantizedMatrix(integers, step, -round(float(zero.reshape(-1)[0]) / step))
        if integers.dtype == np.uint8:
            return QuantizedMatrix(
                (integers.astype(np.int16) - 128).astype(np.int8), step, int(zero.reshape(-1)[0]) - 128
            )
        return QuantizedMatrix(integers, step, int(zero.reshape(-1)[0]))

    def group_norm(self) -> tuple[Floats, Floats]:
        """Scale and shift of each channel."""
        found = {
            node.op_type: self._values[name].reshape(-1).astype(np.float32)
            for node in self._nodes
            if node.name in ("/groupnorm/Mul", "/groupnorm/Add")
            for name in node.input
            if name in self._values
        }
        if found.keys() != {"Mul", "Add"}:
            raise UnreadableCheckpoint("there is no group normalization")
        return found["Mul"], found["Add"]

    def _weight_of(self, node: NodeProto) -> str | None:
        """The name of the quantized matrix that a product multiplies with."""
        for name in node.input:
            for ending in ("_add_tensor", "_quantized"):
                key: str = name.removesuffix(ending)
                if name.endswith(ending) and f"{key}_quantized" in self._values:
                    return key
        return None


def _branches(nodes: Sequence[NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield attribute.g
