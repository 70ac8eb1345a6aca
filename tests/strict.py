"""What a test does where the machine lacks something it needs."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip, saying what is missing; fail where PARLEY_STRICT=1 promises that nothing is."""
    if os.environ.get("PARLEY_STRICT") == "1":
        pytest.fail(f"missing: {what}", pytrace=False)
    pytest.skip(f"missing: {what}", allow_module_level=True)
