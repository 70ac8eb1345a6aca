"""Where a model is put together before it goes on the shelf: whatever an interruption leaves lies here alone."""

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
from app.models.verification import fault_of, stamp


@dataclass(frozen=True, slots=True)
class Staging:
    folder: Path
    progress: Progress

    @property
    def accepted(self) -> Path:
        """The files that are known to be good, under their own names."""
        return self.folder / "accepted"

    def part(self, file: ModelFile) -> Path:
        """The file while it grows. Its checksum is known, so any source may continue it."""
        return self.folder / f"{file.name}.part"

    def grown(self, file: ModelFile) -> int:
        """Bytes of the part so far."""
        part = self.part(file)
        return part.stat().st_size if part.exists() else 0

    @contextmanager
    def growing(self, file: ModelFile, *, fresh: bool) -> Iterator[BinaryIO]:
        """The part, open at its end (`fresh`: emptied first), and on the disk for good when this ends well."""
        with self.part(file).open("wb" if fresh else "ab") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())

    def accept(self, file: ModelFile, origin: str) -> None:
        """Let the grown part be the file.

        Raises:
            ModelUnavailable: it is not what the catalogue says; it is thrown away.
        """
        part = self.part(file)
        if fault := fault_of(file, part, self.progress):
            part.unlink(missing_ok=True)
            raise ModelUnavailable(f"{origin} delivered another file: {fault}")
        self.accepted.mkdir(exist_ok=True)
        part.replace(self.accepted / file.name)

    def missing(self, files: tuple[ModelFile, ...]) -> tuple[ModelFile, ...]:
        """Those not accepted yet; an earlier pull may have left some that are."""
        return tuple(file for file in files if fault_of(file, self.accepted / file.name, self.progress))

    def shelve(self, model: Model, folder: Path) -> None:
        """Move what was accepted to the model's folder: in one step where there is none yet, else file by file."""
        if folder.exists():
            for path in self.accepted.iterdir():
                path.replace(folder / path.name)
        else:
            self.accepted.replace(folder)
        stamp(model, folder)
        shutil.rmtree(self.folder)
