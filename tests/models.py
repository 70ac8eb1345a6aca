"""Folders of the real models, for tests that need them."""

import os
from pathlib import Path

from app.domain.errors import ModelUnavailable
from app.models.resolve import resolve
from tests.strict import missing

MODELS_DIR = Path(os.environ.get("PARLEY_MODELS_DIR", Path(__file__).parents[1] / "models"))


def model(name: str) -> Path:
    """The folder of this model; the test is skipped, or fails under PARLEY_STRICT=1, where it is not there."""
    try:
        return resolve(name, MODELS_DIR)
    except ModelUnavailable:
        missing(f"the model {name} (make models)")
