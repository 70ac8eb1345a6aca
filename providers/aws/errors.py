"""Translates the errors of botocore and its HTTP transport to ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import aiohttp
from botocore import exceptions as boto

from app.domain.errors import (
    ParleyError,
    ProviderBusy,
    ProviderDown,
    ProviderError,
    ProviderMisbehaved,
    ProviderRefused,
    RequestRefused,
)

_BUSY_CODES = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException"})

ErrorTable: TypeAlias = tuple[tuple[tuple[type[Exception], ...], type[ProviderError], str], ...]
"""The vendor's errors, ours, and a sentence; the first row that fits an error translates it."""

_ERRORS: ErrorTable = (
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
def translate_errors(provider: str) -> Iterator[None]:
    """Raise what botocore and its transport raise as one of our errors; the vendor's words stay in `__cause__`."""
    try:
        yield
    except _VENDOR_ERRORS as error:
        raise _translated(provider, error) from error


def _translated(provider: str, error: Exception) -> ParleyError:
    match error:
        case boto.ClientError(response={"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}):
            return error_for_status(provider, status, code)
    return lookup(provider, error, _ERRORS)


def lookup(provider: str, error: Exception, table: ErrorTable) -> ProviderError:
    """What the table says, or ProviderMisbehaved."""
    for kinds, ours, sentence in table:
        if isinstance(error, kinds):
            return ours(provider, sentence)
    return ProviderMisbehaved(provider, "the service answered with something unknown")


def error_for_status(provider: str, status: int, code: str) -> ParleyError:
    """What an HTTP status and AWS's code for the error mean."""
    if status == 429 or code in _BUSY_CODES:
        return ProviderBusy(provider, "the service asks for fewer requests")
    if "Language" in code:
        return RequestRefused(provider, "the service does not know this language")
    if status in {401, 403} or "Token" in code or "Signature" in code:
        return ProviderRefused(provider, "the credentials are not accepted, or do not allow this")
    if status >= 500:
        return ProviderDown(provider, "the service failed")
    return ProviderRefused(provider, "the request was refused")
