"""What goes wrong at AWS, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import aiohttp
from botocore import exceptions as boto

from app.domain.errors import ProviderBusy, ProviderDown, ProviderError, ProviderMisbehaved, ProviderRefused

_BUSY_CODES = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException"})

Meanings: TypeAlias = tuple[tuple[tuple[type[Exception], ...], type[ProviderError], str], ...]
"""Vendor's errors, ours, and a sentence; the first line that fits says what an error means."""

_MEANINGS: Meanings = (
    (
        (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.ProfileNotFound,
            boto.SSOError,
            boto.TokenRetrievalError,
        ),
        ProviderRefused,
        "there are no usable AWS credentials",
    ),
    (
        (
            OSError,
            TimeoutError,
            aiohttp.ClientError,
            boto.ConnectionError,
            boto.CredentialRetrievalError,
            boto.HTTPClientError,
        ),
        ProviderDown,
        "the service cannot be reached or went away",
    ),
    (
        (boto.ParamValidationError, boto.NoRegionError, boto.InvalidRegionError),
        ProviderRefused,
        "the request cannot be made with these settings",
    ),
)

_VENDOR_ERRORS = (OSError, TimeoutError, aiohttp.ClientError, boto.BotoCoreError, boto.ClientError)


@contextmanager
def in_our_words(provider: str) -> Iterator[None]:
    """Raise what botocore and its transport raise as one of our errors; the vendor's words stay in `__cause__`."""
    try:
        yield
    except _VENDOR_ERRORS as error:
        raise _translated(provider, error) from error


def _translated(provider: str, error: Exception) -> ProviderError:
    match error:
        case boto.ClientError(response={"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}):
            return by_status(provider, status, code)
    return meaning(provider, error, _MEANINGS)


def meaning(provider: str, error: Exception, meanings: Meanings) -> ProviderError:
    """What the table says, or that the service misbehaved."""
    for kinds, ours, sentence in meanings:
        if isinstance(error, kinds):
            return ours(provider, sentence)
    return ProviderMisbehaved(provider, "the service answered with something unknown")


def by_status(provider: str, status: int, code: str) -> ProviderError:
    """What an HTTP status and AWS's name for it mean."""
    if status == 429 or code in _BUSY_CODES:
        return ProviderBusy(provider, "the service asks for fewer requests")
    if status in {401, 403} or "Token" in code or "Signature" in code:
        return ProviderRefused(provider, "the credentials are not accepted, or do not allow this")
    if status >= 500:
        return ProviderDown(provider, "the service failed")
    return ProviderRefused(provider, "the request was refused")
