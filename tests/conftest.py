"""Fixtures available to every test."""

import os
import subprocess
import sys

import pytest
import structlog
from hypothesis import settings

from tests.strict import missing

pytest_plugins = [
    "tests.integration.aws_fixtures",
    "tests.integration.database_fixtures",
    "tests.integration.openai_clients",
]

structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))  # as every command logs

settings.register_profile("ci", derandomize=True)  # a landing does not hang on the day's luck; laptops look further
if os.environ.get("CI") or os.environ.get("PARLEY_STRICT"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        missing("the right to mount a tmpfs")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def pytest_collection_modifyitems(config, items):
    """What is marked `nightly` runs only where `-m` names it."""
    if "nightly" not in config.option.markexpr:
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]
