"""The weights in a CTranslate2 model folder, as numbers.

The format is the one `ctranslate2.specs.model_spec` writes: a header, then each variable with its name, shape,
type and bytes, then names that stand for others.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]

_VERSION = 6
_TYPES: tuple[type[np.generic], ...] = (np.float32, np.int8, np.int16, np.int32, np.float16)


class UnreadableCheckpoint(Exception):
    """The file is not in the format that is known here; the message says what is different."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Variables by name. What lies in the file stays there until it is looked at."""

    variables: Mapping[str, NDArray[np.generic]]

    def __contains__(self, name: str) -> bool:
        return name in self.variables

    def stored(self, name: str) -> NDArray[np.generic]:
        """As it is in the file. Raises Unreadable where there is no such variable."""
        if name not in self.variables:
            raise UnreadableCheckpoint(f"there is no {name}")
        return self.variables[name]

    def numbers(self, name: str, rows: NDArray[np.intp] | slice = slice(None)) -> Numbers:
        """As float32, all of it or some rows, with the scale of what was stored as integers taken back."""
        stored = self.stored(name)
        numbers = stored[rows].astype(np.float32)
        if np.issubdtype(stored.dtype, np.integer):
            scale = self.numbers(f"{name}_scale")
            numbers /= scale[rows].reshape(-1, *(1,) * (stored.ndim - 1)) if scale.ndim else scale
        return numbers

    def number(self, name: str, default: int) -> int:
        """A setting of the model."""
        return int(self.variables[name]) if name in self.variables else default

    def layers(self, side: str) -> int:
        """How many layers the encoder or the decoder has."""
        return len(
            {name.split("/")[1] for name in self.variables if name.startswith(f"{side}/layer_")} - {"layer_norm"}
        )


def read_checkpoint(path: Path) -> Checkpoint:
    """The variables in `model.bin`. Raises Unreadable for another version of the format, or a file cut short."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return Checkpoint(_variables(_Reader(content)))
    except (struct.error, ValueError) as error:
        raise UnreadableCheckpoint("the file is cut short") from error


def _variables(reader: "_Reader") -> dict[str, NDArray[np.generic]]:
    if (version := reader.number("I")) != _VERSION:
        raise UnreadableCheckpoint(f"the format has version {version}, not {_VERSION}")
    if (spec := reader.name()) != "WhisperSpec":
        raise UnreadableCheckpoint(f"this is a {spec}, not a WhisperSpec")
    reader.number("I")  # the revision of the spec
    found = dict(reader.variable() for _ in range(reader.number("I")))
    for _ in range(reader.number("I")):
        alias = reader.name()
        found[alias] = found[reader.name()]
    return found


@dataclass(slots=True)
class _Reader:
    content: mmap.mmap
    at: int = 0

    def number(self, kind: str) -> int:
        value: int = struct.unpack_from(f"<{kind}", self.content, self.at)[0]
        self.at += struct.calcsize(f"<{kind}")
        return value

    def name(self) -> str:
        length = self.number("H")
        (found,) = struct.unpack_from(f"{length}s", self.content, self.at)
        self.at += length
        return str(found[:-1], "utf-8")

    def variable(self) -> tuple[str, NDArray[np.generic]]:
        name = self.name()
        shape = [self.number("I") for _ in range(self.number("B"))]
        if (number := self.number("B")) >= len(_TYPES):
            raise UnreadableCheckpoint(f"{name} has numbers of kind {number}")
        kind = np.dtype(_TYPES[number])
        size = self.number("I")
        values = np.frombuffer(self.content, kind, size // kind.itemsize, self.at).reshape(shape)
        self.at += size
        return name, values
