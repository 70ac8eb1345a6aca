"""Skip a test whose requirement is missing, or fail it where PARLEY_STRICT=1."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test; with PARLEY_STRICT=1 fail it, so that nothing goes unchecked unnoticed."""
    if os.environ.get("PARLEY_STRICT") == "1":
        pytest.fail(f"{what} is missing", pytrace=False)
    pytest.skip(f"{what} is missing")
