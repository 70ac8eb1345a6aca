"""The operating system's errors of a local disk, as errors of a provider."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.errors import ProviderBusy, ProviderDown, ProviderError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def disk_error(provider: str, error: OSError) -> ProviderError:
    """ProviderBusy where the disk, or the quota, is full; ProviderDown for every other failure."""
    if error.errno in _FULL:
        return ProviderBusy(provider, "the disk is full")
    return ProviderDown(provider, f"the disk fails: {error.strerror or type(error).__name__}")


@contextmanager
def translate_disk_errors(provider: str) -> Iterator[None]:
    """Raises disk_error() in place of an OSError of the body."""
    try:
        yield
    except OSError as error:
        raise disk_error(provider, error) from error
