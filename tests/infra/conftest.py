"""Fixtures of the infrastructure's tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.stub.terraform import ROOT, Terraform, attached_terraform

TERRAFORM = ROOT / "infra" / "terraform"


@pytest.fixture(scope="session")
def terraform() -> Iterator[Terraform]:
    with attached_terraform() as command:
        yield command


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of infra/terraform to write in."""
    copy = tmp_path / "terraform"
    shutil.copytree(TERRAFORM, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    return copy
