"""Read the weights of a CTranslate2 Whisper model (`model.bin`, format version 6) without CTranslate2.

The format is the one `ctranslate2.specs.model_spec` writes: a header, then each variable with its name, shape, type and
bytes, then aliases.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.quantization import Floats

_VERSION = 6
_TYPES: tuple[type[np.generic], ...] = (np.float32, np.int8, np.int16, np.int32, np.float16)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Variables by name, memory-mapped: a variable is read from the file when it is used."""

    variables: Mapping[str, NDArray[np.generic]]

    def __contains__(self, name: str) -> bool:
        return name in self.variables

    def stored(self, name: str) -> NDArray[np.generic]:
        """As in the file, integers not scaled. Raises UnreadableCheckpoint where there is no such variable."""
        if name not in self.variables:
            raise UnreadableCheckpoint(f"there is no {name}")
        return self.variables[name]

    def dequantized(self, name: str, rows: NDArray[np.intp] | slice = slice(None)) -> Floats:
        """As float32, all of it or some rows; integers are divided by the scale stored beside them."""
        stored = self.stored(name)
        values = stored[rows].astype(np.float32)
        if np.issubdtype(stored.dtype, np.integer):
            scale = self.dequantized(f"{name}_scale")
            values /= scale[rows].reshape(-1, *(1,) * (stored.ndim - 1)) if scale.ndim else scale
        return values

    def setting(self, name: str, default: int) -> int:
        """An integer setting of the model, such as its number of heads."""
        return int(self.variables[name]) if name in self.variables else default

    def layer_count(self, side: str) -> int:
        """How many layers the `encoder` or the `decoder` has."""
        return len(
            {name.split("/")[1] for name in self.variables if name.startswith(f"{side}/layer_")} - {"layer_norm"}
        )


def read_checkpoint(path: Path) -> Checkpoint:
    """The variables in `model.bin`. Raises UnreadableCheckpoint for another format, or a file cut short."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return Checkpoint(_variables(_Reader(content)))
    except (struct.error, ValueError) as error:
        raise UnreadableCheckpoint("the file is cut short") from error


def _variables(reader: "_Reader") -> dict[str, NDArray[np.generic]]:
    if (version := reader.integer("I")) != _VERSION:
        raise UnreadableCheckpoint(f"the format has version {version}, not {_VERSION}")
    if (spec := reader.string()) != "WhisperSpec":
        raise UnreadableCheckpoint(f"this is a {spec}, not a WhisperSpec")
    reader.integer("I")  # the revision of the spec
    variables = dict(reader.variable() for _ in range(reader.integer("I")))
    for _ in range(reader.integer("I")):
        alias = reader.string()
        variables[alias] = variables[reader.string()]
    return variables


@dataclass(slots=True)
class _Reader:
    """Reads little-endian fields one after the other."""

    content: mmap.mmap
    at: int = 0

    def integer(self, struct_format: str) -> int:
        value: int = struct.unpack_from(f"<{struct_format}", self.content, self.at)[0]
        self.at += struct.calcsize(f"<{struct_format}")
        return value

    def string(self) -> str:
        length = self.integer("H")
        (text,) = struct.unpack_from(f"{length}s", self.content, self.at)
        self.at += length
        return str(text[:-1], "utf-8")  # without its terminating zero

    def variable(self) -> tuple[str, NDArray[np.generic]]:
        name = self.string()
        shape = [self.integer("I") for _ in range(self.integer("B"))]
        if (type_number := self.integer("B")) >= len(_TYPES):
            raise UnreadableCheckpoint(f"{name} has numbers of the unknown type {type_number}")
        dtype = np.dtype(_TYPES[type_number])
        size = self.integer("I")
        values = np.frombuffer(self.content, dtype, size // dtype.itemsize, self.at).reshape(shape)
        self.at += size
        return name, values
