"""The ONNX graphs of a model, exported once and kept in a folder beside its weights.

The export runs in a process of its own: the hundreds of megabytes it takes are given back when it ends. A finished
folder is published by renaming it, and its graphs never change. Whoever opens its files holds a shared lock on it; only
a folder that nobody has locked is removed.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from providers.local.asr.transformer.errors import UnreadableCheckpoint

ENCODER, CROSS_KV, DECODER = "encoder.onnx", "cross_kv.onnx", "decoder.onnx"

_VERSION = 4
"""Raised by one whenever other graphs are exported from the same weights."""

_PUBLISHED, _UNFINISHED = ".onnx-", ".exporting-"
_OBSOLETE = (".networks-*", ".making-*")
"""Names of version 1."""

_EXPORT_TIMEOUT_S = 300.0
"""Enough for the largest model on the slowest disk."""

Export = Callable[[Path, Path], None]
"""Writes the graphs of a model folder into another folder. Raises UnreadableCheckpoint."""

WHISPER_EXPORT = "providers.local.asr.whisper.export"


def export_in_subprocess(model: Path, folder: Path, *, module: str = WHISPER_EXPORT) -> None:
    """Write the graphs of `model` into `folder`, with the command `module`. Raises UnreadableCheckpoint."""
    command = [sys.executable, "-m", module, str(model), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    try:
        exported = subprocess.run(  # noqa: S603 because both paths are the operator's
            command, capture_output=True, text=True, timeout=_EXPORT_TIMEOUT_S, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableCheckpoint(f"exporting its graphs took longer than {_EXPORT_TIMEOUT_S:.0f} s") from error
    if exported.returncode:
        raise UnreadableCheckpoint((exported.stderr.strip().splitlines() or ["the export was killed"])[-1])


@contextmanager
def exported_graphs(
    model: Path, export: Export = export_in_subprocess, *, weights: str = "model.bin"
) -> Iterator[Path]:
    """The folder with this model's graphs, which stays while the context is open; exported where it is missing.

    `weights` is the file whose change makes other graphs necessary.

    Where nothing can be written beside the model the graphs are exported to a temporary folder for this once.
    Raises UnreadableCheckpoint where they cannot be exported.
    """
    with ExitStack() as stack:
        published = published_graphs(model, weights)
        locked = False
        with suppress(OSError):
            locked = _lock_shared(published, stack)
            if not locked:
                _publish(model, published, export)
                locked = _lock_shared(published, stack)
                _remove_unused(model, published)
        if locked:
            yield published
            return
        try:
            temporary = Path(stack.enter_context(TemporaryDirectory(prefix="parley-onnx-")))
        except OSError as error:
            raise UnreadableCheckpoint(
                f"its graphs can be written neither beside it nor in the system's temporary folder: {error}"
            ) from error
        export(model, temporary)
        yield temporary


def published_graphs(model: Path, weights: str = "model.bin") -> Path:
    """Where the graphs of this model are kept, exported or not. Raises OSError where it has no weights."""
    return model / f"{_PUBLISHED}{_VERSION}-{_fingerprint(model / weights)}"


def _fingerprint(weights: Path) -> str:
    """Distinguishes these weights from others that a later download may put in their place."""
    stat = weights.stat()
    return f"{stat.st_size:x}-{int(stat.st_mtime):x}"


def _publish(model: Path, published: Path, export: Export) -> None:
    """Export to a folder of our own, then rename it. Where another process was first, its folder stays."""
    with ExitStack() as stack:
        unfinished = Path(mkdtemp(prefix=_UNFINISHED, dir=model))
        stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
        if not _lock_shared(unfinished, stack):
            raise FileNotFoundError(unfinished)  # because another process took it for an interrupted export
        export(model, unfinished)
        shutil.copymode(model, unfinished)  # whoever may read the model may read its graphs
        if not published.is_dir():
            with suppress(OSError):  # because another process may publish at this very moment
                unfinished.rename(published)


def _remove_unused(model: Path, published: Path) -> None:
    """Remove the graphs of other weights and versions, and exports that were interrupted, unless someone has a lock."""
    for pattern in (f"{_PUBLISHED}*", f"{_UNFINISHED}*", *_OBSOLETE):
        for folder in model.glob(pattern):
            if folder != published:
                with ExitStack() as stack:
                    if _lock(folder, stack, exclusive=True):
                        shutil.rmtree(folder, ignore_errors=True)


def _lock_shared(folder: Path, stack: ExitStack) -> bool:
    """Keep a folder from being removed until the stack is closed. False where it is not there."""
    return folder.is_dir() and _lock(folder, stack, exclusive=False) and folder.is_dir()


def _lock(folder: Path, stack: ExitStack, *, exclusive: bool) -> bool:
    """Lock a folder until the stack is closed, without waiting. False where another process's lock excludes ours."""
    descriptor = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems cannot lock: there folders are read without a lock, and none is removed.
        return not exclusive
    return True
