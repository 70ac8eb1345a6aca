"""Weights as 8-bit integers: read as they are stored, or quantized here, in the layouts that onnxruntime multiplies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

EPSILON = 1e-12

ZERO = 128
"""What 0 is as an unsigned byte."""


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """Weights that were stored with one scale and one zero point: `scale * (integers - zero)`."""

    integers: NDArray[np.int8]
    scale: float
    zero: int

    def dequantized(self) -> Floats:
        values: Floats = np.float32(self.scale) * (self.integers.astype(np.float32) - np.float32(self.zero))
        return values

    def transposed(self) -> "QuantizedMatrix":
        return QuantizedMatrix(self.integers.T, self.scale, self.zero)


@dataclass(frozen=True, slots=True)
class QuantizedRows:
    """A matrix (outputs, inputs) with a scale and a zero point for each row."""

    integers: NDArray[np.int8]
    scales: Floats
    zeros: NDArray[np.int16]

    @property
    def shape(self) -> tuple[int, int]:
        outputs, inputs = self.integers.shape
        return outputs, inputs


@dataclass(frozen=True, slots=True)
class QuantizedBlocks:
    """Unsigned integers (outputs, blocks, block size), and the scale of each block (outputs * blocks,)."""

    integers: NDArray[np.uint8]
    scales: Floats
    zeros: NDArray[np.uint8] | None = None
    """Of each block (outputs * blocks,); None: 128 everywhere."""


def stacked(matrices: Sequence[QuantizedMatrix], *, scale: float = 1.0) -> QuantizedRows:
    """Matrices (outputs, inputs) one above the other, multiplied with `scale`; their integers stay as they are."""
    rows = [len(matrix.integers) for matrix in matrices]
    return QuantizedRows(
        np.concatenate([matrix.integers for matrix in matrices]),
        np.repeat(np.array([matrix.scale * scale for matrix in matrices], np.float32), rows),
        np.repeat(np.array([matrix.zero for matrix in matrices], np.int16), rows),
    )


def in_blocks(rows: QuantizedRows, block: int = 32) -> QuantizedBlocks:
    """The same integers, in blocks that repeat the scale of their row. Raises ValueError where the width is uneven."""
    outputs, inputs = rows.shape
    if inputs % block:
        raise ValueError(f"{inputs} weights are no multiple of {block}")
    blocks = inputs // block
    integers = as_unsigned(rows.integers).reshape(outputs, blocks, block)
    zeros = (rows.zeros + ZERO).astype(np.uint8)
    return QuantizedBlocks(integers, np.repeat(rows.scales, blocks), np.repeat(zeros, blocks))


def as_unsigned(integers: NDArray[np.int8]) -> NDArray[np.uint8]:
    """The same integers, with `ZERO` for 0."""
    unsigned: NDArray[np.uint8] = (integers.astype(np.int16) + ZERO).astype(np.uint8)
    return unsigned


def quantize_in_blocks(weight: Floats, block: int) -> QuantizedBlocks:
    """Symmetric, each block on the scale of its largest magnitude."""
    blocks = weight.reshape(weight.shape[0], -1, block)
    scales = _max_magnitude(blocks, axis=2) / np.float32(127)
    quantized = np.rint(blocks / scales[:, :, None])
    return QuantizedBlocks((quantized + ZERO).astype(np.uint8), scales.reshape(-1))


def quantize_rows(weight: Floats, bits: int) -> tuple[NDArray[np.int8], Floats]:
    """Symmetric, each row on the scale of its largest magnitude: integers of so many bits, and scales (outputs,)."""
    scales = _max_magnitude(weight, axis=1) / np.float32(2 ** (bits - 1) - 1)
    return np.rint(weight / scales[:, None]).astype(np.int8), scales


def _max_magnitude(weight: Floats, axis: int) -> Floats:
    """The largest absolute value along an axis, never zero."""
    magnitude: Floats = np.maximum(np.abs(weight).max(axis=axis), np.float32(EPSILON))
    return magnitude
