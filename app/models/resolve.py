"""Resolves the model named in a setting to a local folder; never uses the network."""

from pathlib import Path

from app.domain.errors import ModelUnavailable
from app.models.catalogue import Catalogue, load_catalogue
from app.models.disk_space import translate_disk_errors
from app.models.verification import ModelState, state, verify


def resolve(name_or_path: str, models_dir: Path, catalogue: Catalogue | None = None) -> Path:
    """The folder of a catalogue model, complete and verified; or the user's own path, unverified.

    Blocking: fast where the files are unchanged since they were verified, else they are hashed once.

    Raises:
        ModelUnavailable: it is missing or damaged; the message says what to do.
    """
    catalogue = catalogue or load_catalogue()
    if name_or_path in catalogue:
        return _resolve_name(name_or_path, models_dir, catalogue)
    for path in (Path(name_or_path).expanduser(), models_dir / name_or_path):
        if path.exists():
            return path
    known = ", ".join(model.name for model in catalogue.models)
    raise ModelUnavailable(
        f"{name_or_path!r} is neither a folder nor a model of the catalogue ({known}): correct the name or the path."
    )


def resolve_file(name_or_path: str, models_dir: Path, suffix: str, catalogue: Catalogue | None = None) -> Path:
    """Like `resolve`, for engines that open one file: the only one in that folder whose name ends in `suffix`."""
    path = resolve(name_or_path, models_dir, catalogue)
    if path.is_file():
        return path
    found = sorted(path.glob(f"*{suffix}"))
    if len(found) != 1:
        raise ModelUnavailable(
            f"{path} must hold one {suffix} file and holds {len(found)}: name the file itself instead of the folder."
        )
    return found[0]


def _resolve_name(name: str, models_dir: Path, catalogue: Catalogue) -> Path:
    model, folder = catalogue.find(name), models_dir / name
    with translate_disk_errors(models_dir):
        match state(model, folder):
            case ModelState.READY:
                return folder
            case ModelState.ABSENT:
                raise ModelUnavailable(
                    f"The model {name} is not in {models_dir.absolute()} (PARLEY_MODELS_DIR): "
                    f"run `parley models pull {name}`, or copy its folder there from another machine."
                )
            case ModelState.INCOMPLETE | ModelState.UNVERIFIED:
                faults = verify(model, folder)
    if faults:
        raise ModelUnavailable(
            f"The model {name} in {models_dir} is damaged ({', '.join(map(str, faults))}): "
            f"run `parley models pull {name}` to repair it."
        )
    return folder
