"""Amazon's errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from amazon_transcribe import exceptions as transcribe
from amazon_transcribe.eventstream import ParserError
from awscrt.exceptions import AwsCrtError
from botocore import exceptions as boto

from app.domain.errors import ProviderBusy, ProviderDown, ProviderError, ProviderMisbehaved, ProviderRefused
from providers.aws.http2 import Broken

_BUSY_CODES = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException"})
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.UnauthorizedSSOTokenError,
    transcribe.CredentialsException,
)
_OUT_OF_REACH = (
    AwsCrtError,
    Broken,
    OSError,
    TimeoutError,
    aiohttp.ClientError,
    boto.CredentialRetrievalError,
    boto.ConnectionError,
    boto.HTTPClientError,
    transcribe.HTTPException,
    transcribe.InternalFailureException,
    transcribe.ServiceUnavailableException,
)
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], type[ProviderError], str], ...] = (
    (_NO_CREDENTIALS, ProviderRefused, "there are no usable AWS credentials"),
    (_OUT_OF_REACH, ProviderDown, "the service cannot be reached or went away"),
    ((transcribe.LimitExceededException,), ProviderBusy, "the account's limit is reached"),
    ((transcribe.BadRequestException,), ProviderRefused, "the request was refused"),
    (
        (boto.ParamValidationError, boto.NoRegionError, boto.InvalidRegionError),
        ProviderRefused,
        "the request cannot be made with these settings",
    ),
)
"""The first line that fits says what an error means."""

VENDOR_ERRORS = (*_OUT_OF_REACH, boto.BotoCoreError, boto.ClientError, transcribe.SDKError, ParserError)
"""Everything that Amazon's packages raise on purpose."""


@contextmanager
def in_our_words(provider: str) -> Iterator[None]:
    """Raise what Amazon's packages raise as one of our errors."""
    try:
        yield
    except VENDOR_ERRORS as error:
        raise translated(provider, error) from error


def translated(provider: str, error: Exception) -> ProviderError:
    """Whose fault it is, and whether it may pass. The vendor's own words stay in `__cause__`."""
    match error:
        case transcribe.BadRequestException(message=message) if "no new audio" in message:
            return ProviderDown(provider, "the stream was closed because it heard nothing")
        case transcribe.UnknownServiceException(status_code=status, error_code=code):
            return _by_status(provider, status, str(code))
        case boto.ClientError(response={"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}):
            return _by_status(provider, status, code)
        case transcribe.ServiceException() if "security token" in str(error):
            # because an exception that comes on an open stream loses its name where the package has no class for it
            return ProviderRefused(provider, "the credentials are no longer accepted")
    for kinds, ours, sentence in _MEANINGS:
        if isinstance(error, kinds):
            return ours(provider, sentence)
    return ProviderMisbehaved(provider, "the service answered with something unknown")


def _by_status(provider: str, status: int, code: str) -> ProviderError:
    if status == 429 or code in _BUSY_CODES:
        return ProviderBusy(provider, "the service asks for fewer requests")
    if status in {401, 403} or "Token" in code or "Signature" in code:
        return ProviderRefused(provider, "the credentials are not accepted, or do not allow this")
    if status >= 500:
        return ProviderDown(provider, "the service failed")
    return ProviderRefused(provider, "the request was refused")
