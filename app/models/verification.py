"""Verifies the files of a model folder against the catalogue: sizes, SHA-256, and a stamp that saves reading again."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.models.catalogue import Model, ModelFile
from app.models.progress import Progress, no_progress

_STAMP = ".verified.json"
_BLOCK = 1 << 20


class ModelState(StrEnum):
    ABSENT = "absent"
    INCOMPLETE = "incomplete"
    UNVERIFIED = "unverified"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class FileFault:
    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file} {self.problem}"


def state(model: Model, folder: Path) -> ModelState:
    """Without reading the files: their sizes and modification times against the stamp of the last verification."""
    sizes = [_size(folder / file.name) for file in model.files]
    if all(size is None for size in sizes):
        return ModelState.ABSENT
    if sizes != [file.size for file in model.files]:
        return ModelState.INCOMPLETE
    return ModelState.READY if _read_stamp(folder) == _stamp_of(model, folder) else ModelState.UNVERIFIED


def verify(model: Model, folder: Path, progress: Progress = no_progress) -> tuple[FileFault, ...]:
    """Read and hash every file. Without a fault a stamp is written, which makes `state` READY; a fault deletes it."""
    faults = tuple(fault for file in model.files if (fault := check_file(file, folder / file.name, progress)))
    if faults:
        with suppress(OSError):  # because a read-only folder can be verified as well
            (folder / _STAMP).unlink(missing_ok=True)
    else:
        stamp(model, folder)
    return faults


def check_file(file: ModelFile, path: Path, progress: Progress = no_progress) -> FileFault | None:
    """What is wrong with the file at `path`; None where it is the catalogue's."""
    size = _size(path)
    if size is None:
        return FileFault(file.name, "is missing")
    if size != file.size:
        return FileFault(file.name, f"has {size} bytes instead of {file.size}")
    if sha256_of(path, progress) != file.sha256:
        return FileFault(file.name, "has the wrong checksum")
    return None


def sha256_of(path: Path, progress: Progress = no_progress) -> str:
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    what = f"checking {path.name.removesuffix('.part')}"
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            progress(what, done, total)
    return digest.hexdigest()


def stamp(model: Model, folder: Path) -> None:
    """Record that the files of this folder, with their present sizes and times, were verified."""
    fresh = folder / f"{_STAMP}.{os.getpid()}"
    with suppress(OSError):  # because without a stamp the next verification only takes longer
        fresh.write_text(json.dumps(_stamp_of(model, folder)), encoding="utf-8")
        fresh.replace(folder / _STAMP)


def _stamp_of(model: Model, folder: Path) -> dict[str, list[str | int]]:
    return {file.name: [file.sha256, file.size, (folder / file.name).stat().st_mtime_ns] for file in model.files}


def _read_stamp(folder: Path) -> object:
    try:
        return json.loads((folder / _STAMP).read_bytes())
    except (OSError, ValueError):
        return None  # the files are hashed again


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
