"""The staging folder of a model that is being fetched; an interrupted pull leaves files here and nowhere else."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.domain.errors import ModelUnavailable
from app.models.catalogue import Model, ModelFile
from app.models.progress import Progress
from app.models.verification import check_file, stamp


@dataclass(frozen=True, slots=True)
class Staging:
    folder: Path
    progress: Progress

    @property
    def accepted(self) -> Path:
        """Folder of the verified files, under their own names."""
        return self.folder / "accepted"

    def part(self, file: ModelFile) -> Path:
        """The unfinished file. Its checksum is known, so any source may complete it."""
        return self.folder / f"{file.name}.part"

    def part_size(self, file: ModelFile) -> int:
        """Bytes of the unfinished file; 0 where there is none."""
        part = self.part(file)
        return part.stat().st_size if part.exists() else 0

    @contextmanager
    def open_part(self, file: ModelFile, *, empty: bool) -> Iterator[BinaryIO]:
        """The unfinished file, open for appending (`empty`: truncated first); synced to disk at the end."""
        with self.part(file).open("wb" if empty else "ab") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())

    def accept(self, file: ModelFile, origin: str) -> None:
        """Verify the part and move it to the accepted files.

        Raises:
            ModelUnavailable: it is not what the catalogue says; it is deleted.
        """
        part = self.part(file)
        if fault := check_file(file, part, self.progress):
            part.unlink(missing_ok=True)
            raise ModelUnavailable(f"{origin} delivered another file: {fault}")
        self.accepted.mkdir(exist_ok=True)
        part.replace(self.accepted / file.name)

    def missing(self, files: tuple[ModelFile, ...]) -> tuple[ModelFile, ...]:
        """The files not accepted yet; those that an earlier pull left are verified again."""
        return tuple(file for file in files if check_file(file, self.accepted / file.name, self.progress))

    def install(self, model: Model, folder: Path) -> None:
        """Move the accepted files to the model's folder: in one step where there is none yet, else file by file."""
        if folder.exists():
            for path in self.accepted.iterdir():
                path.replace(folder / path.name)
        else:
            self.accepted.replace(folder)
        stamp(model, folder)
        shutil.rmtree(self.folder)
