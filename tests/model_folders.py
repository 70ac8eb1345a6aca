"""Where the real models lie for tests that need one."""

import os
from pathlib import Path

from tests.strict import missing


def model_folder(name: str) -> Path:
    """The folder of this model under PARLEY_MODELS_DIR, by default `models/` of the project."""
    models = Path(os.environ.get("PARLEY_MODELS_DIR") or Path(__file__).parents[1] / "models")
    folder = models / name
    if not folder.is_dir():
        missing(f"the model {name} in {models}")
    return folder
