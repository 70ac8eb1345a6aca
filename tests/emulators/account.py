"""An AWS account for a block of a test: the variables that the SDK's own chain reads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.emulators.certificates import Certificates

_KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@contextmanager
def aws_account(certificates: Certificates | None = None, /, **variables: str) -> Iterator[None]:
    """The keys of the emulators' account, or the variables given, and nothing else of AWS."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    ours = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **(variables or _KEYS),
    }
    if certificates is not None:
        ours["AWS_CA_BUNDLE"] = str(certificates.ca)
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
        os.environ.update(before)
