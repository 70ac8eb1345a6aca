"""Which way of computing an encoder runs on this processor: the cheapest of those whose output is right. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class EncoderPath(StrEnum):
    """How the linear layers of an encoder are computed, most preferred first where the times are alike."""

    INT8 = "int8"
    """8-bit weights on onnxruntime. Exact where products of bytes are added without overflow: VNNI, ARM."""

    INT7 = "int7"
    """Weights of 7 bits on onnxruntime: no overflow on AVX2 without VNNI."""

    UINT8 = "uint8"
    """8-bit weights, multiplied with 16 bits on x86: exact on every processor, slower than bytes."""

    CTRANSLATE2 = "ctranslate2"
    """8-bit weights by CTranslate2, where the model is one of its own."""

    FLOAT32 = "float32"
    """Exact on every processor, and slow."""


_MAX_ERROR = 1.5
"""Largest error of a path that is right, relative to the least of all integer paths.

Of 7-bit weights it is 1.3 to 1.4 times that of exact products of 8 bits, of products that overflow 1.7 and more.
"""

_ALIKE = 1.2
"""Times that differ by less are alike."""


@dataclass(frozen=True, slots=True)
class PathTest:
    """What one path made of the test sound here."""

    path: EncoderPath
    error: float
    """Mean difference from float32, relative to the mean magnitude."""
    cpu_ms: float
    """Processor time of all threads together."""

    def describe(self) -> str:
        return f"{self.path} {self.cpu_ms:.0f} ms, {100 * self.error:.1f} %"


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """The path in use, and why."""

    path: EncoderPath
    tests: tuple[PathTest, ...] = ()
    """Of all paths that this model has; empty where none was made."""
    note: str = ""
    """Where the path is not the one that was set."""
    is_set: bool = False
    test_s: float | None = field(default=None, compare=False)
    """How long the tests took, where they were made at this start."""

    def describe(self) -> str:
        """One sentence for the log, `/health` and `parley doctor`."""
        reason = "as set" if self.is_set else "the cheapest that is right here"
        if not self.tests:
            return f"{self.path}, {self.note or reason}"
        tests = "; ".join(test.describe() for test in self.tests)
        took = "" if self.test_s is None else f"; tested at this start in {self.test_s:.1f} s"
        return f"{self.path}, {self.note or reason}; time and error of all: {tests}{took}"


def right_paths(tests: Sequence[PathTest]) -> list[PathTest]:
    """Those whose output is as near to float32 as integers bring it."""
    least = min((test.error for test in tests if test.path is not EncoderPath.FLOAT32), default=0.0)
    return [test for test in tests if test.error <= _MAX_ERROR * least or test.path is EncoderPath.FLOAT32]


def choose_path(tests: Sequence[PathTest]) -> EncoderPath:
    """The cheapest path that is right; of those that are alike the first of `EncoderPath`."""
    right = right_paths(tests)
    limit = _ALIKE * min(test.cpu_ms for test in right)
    return min((test.path for test in right if test.cpu_ms <= limit), key=list(EncoderPath).index)
