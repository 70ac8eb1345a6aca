"""What a test does where something it needs is not there."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip on a laptop; fail where PARLEY_STRICT=1 says that everything must be there."""
    if os.environ.get("PARLEY_STRICT") == "1":
        pytest.fail(f"missing: {what}")
    pytest.skip(f"missing: {what}")
