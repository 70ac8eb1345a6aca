"""Which audio files a command works on: files, the audio and video files in folders, standard input."""

import os
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from app.cli.tables import printable

STANDARD_INPUT = "-"

_AUDIO = """
aac ac3 aif aifc aiff alac amr ape au caf eac3 flac m4a m4b mka mp2 mp3 oga ogg opus ra spx tta voc w64 wav weba wma wv
"""
_VIDEO = "3gp asf avi flv m4v mkv mov mp4 mpeg mpg mts ogv ts webm wmv"
SUFFIXES = frozenset(f".{suffix}" for suffix in (_AUDIO + _VIDEO).split())
"""Of the files that are taken from a folder, in any case; a file that is named itself may have any."""


@dataclass(frozen=True, slots=True)
class AudioFile:
    path: Path
    result: Path
    """Of its result below an output folder, without the suffix of a format."""
    is_standard_input: bool = False

    @property
    def name(self) -> str:
        """As people read it: in one line, without control characters."""
        return STANDARD_INPUT if self.is_standard_input else printable(str(self.path))


@dataclass(slots=True)
class FoundFiles:
    """Files in the order in which they were given, each once, and what of the given names is none."""

    files: list[AudioFile] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason."""
    are_named: bool = False
    """More than one was asked for, so that a result must say whose it is."""


def find_audio_files(given: Sequence[str]) -> FoundFiles:
    """Blocking. What cannot be found is a problem, and keeps nothing else from being transcribed."""
    found, seen = FoundFiles(are_named=len(given) > 1), set[Path]()
    for name in given:
        for file in _candidates(name, found):
            if (real := file.path.resolve()) not in seen:
                seen.add(real)
                found.files.append(file)
    return found


def _candidates(name: str, found: FoundFiles) -> Iterator[AudioFile]:
    """The files of one given name; problems are added to the others."""
    if name == STANDARD_INPUT:
        if sys.stdin is not None and sys.stdin.isatty():
            raise click.UsageError("standard input is a terminal: pipe a file into it")
        yield AudioFile(Path("/dev/stdin"), Path("stdin"), is_standard_input=True)
        return
    path = Path(name)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        found.problems.append((printable(name), error.strerror or type(error).__name__))
        return
    if not is_folder:
        yield AudioFile(path, Path(path.name))
        return
    found.are_named, is_empty = True, True
    for file in _files_below(path, found.problems):
        is_empty = False
        yield file
    if is_empty:
        found.problems.append((printable(name), "there is no audio or video file in this folder"))


def _files_below(folder: Path, problems: list[tuple[str, str]]) -> Iterator[AudioFile]:
    """By name, folder for folder. Hidden files and folders, and links to folders, are passed over."""

    def cannot_list(error: OSError) -> None:
        problems.append((printable(str(error.filename)), error.strerror or type(error).__name__))

    for parent, folders, names in os.walk(folder, onerror=cannot_list):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith(".") and path.is_file():
                yield AudioFile(path, path.relative_to(folder))


def result_paths(files: Sequence[AudioFile], output: Path, suffix: str) -> list[Path]:
    """Where each file's result is written. Raises UsageError where two would be written to the same place."""
    paths: dict[Path, AudioFile] = {}
    for file in files:
        path = output / file.result.with_name(f"{file.result.name}{suffix}")
        if path in paths:
            raise click.UsageError(f"{paths[path].name} and {file.name} would both be written to {path}")
        paths[path] = file
    return list(paths)


@contextmanager
def seekable(file: AudioFile) -> Iterator[Path]:
    """The file itself, or a copy of what a pipe or standard input holds, kept while the block runs. Raises OSError.

    The copying blocks until the writer has ended.
    """
    if not file.is_standard_input and stat.S_ISREG(file.path.stat().st_mode):
        yield file.path
        return
    with TemporaryDirectory(prefix="parley-") as folder:
        copy = Path(folder, "standard input" if file.is_standard_input else file.path.name)
        # unbuffered, because a thread that an interruption leaves behind must not hold the lock of sys.stdin
        source = os.fdopen(os.dup(0), "rb", buffering=0) if file.is_standard_input else file.path.open("rb", 0)
        with source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield copy
