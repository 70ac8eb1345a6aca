"""Where Whisper's networks lie: beside the model they were made of, for the next start as well.

They are made in a process of their own: what that takes, some hundred megabytes, is given back when it ends.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from providers.local.asr.transformer.checkpoint import UnreadableCheckpoint

ENCODING, LISTENING, WRITING = "encoding.onnx", "listening.onnx", "writing.onnx"

_MAKE = 1
"""Raised by one whenever other networks are made of the same weights."""

_PATIENCE = 300.0
"""Seconds for the largest model on the slowest disk."""


@contextmanager
def networks(model: Path) -> Iterator[Path]:
    """The folder with the networks of this model, made where it is not there yet.

    Where nothing can be written beside the model they are made for this once. Raises Unreadable for a model that
    they cannot be made of.
    """
    made = model / f".networks-{_MAKE}-{_print_of(model / 'model.bin')}"
    if not made.is_dir():
        with suppress(OSError):
            _keep(model, made)
    if made.is_dir():
        yield made
        return
    try:
        elsewhere = TemporaryDirectory(prefix="parley-networks-")
    except OSError as error:
        raise UnreadableCheckpoint(
            f"its networks can be written neither beside it nor in the system's temporary folder: {error}"
        ) from error
    with elsewhere as folder:
        _make(model, Path(folder))
        yield Path(folder)


def _print_of(weights: Path) -> str:
    """What tells these weights from those that another fetch may put in their place."""
    found = weights.stat()
    return f"{found.st_size:x}-{int(found.st_mtime):x}"


def _keep(model: Path, made: Path) -> None:
    """Make the networks at `made`, all at once; what others made of earlier weights goes."""
    fresh = Path(mkdtemp(prefix=".making-", dir=model))
    try:
        _make(model, fresh)
        shutil.copymode(model, fresh)  # whoever may read the model may read what was made of it
        for old in model.glob(".networks-*"):
            shutil.rmtree(old, ignore_errors=True)
        with suppress(OSError):  # another process was first
            fresh.rename(made)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _make(model: Path, into: Path) -> None:
    command = [sys.executable, "-m", "providers.local.asr.transformer.export", str(model), str(into)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    try:
        done = subprocess.run(  # noqa: S603 because both paths are the operator's
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableCheckpoint(f"making its networks took longer than {_PATIENCE:.0f} s") from error
    if done.returncode:
        raise UnreadableCheckpoint((done.stderr.strip().splitlines() or ["the process was stopped"])[-1])
