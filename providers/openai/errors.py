"""The one translator from errors of the SDK and of an OpenAI-compatible server to ours."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import openai

from app.domain.errors import (
    AnswerWithheld,
    ParleyError,
    ProviderBusy,
    ProviderDown,
    ProviderMisbehaved,
    ProviderRefused,
    RequestRefused,
)

_REQUEST_CODES = frozenset({"context_length_exceeded", "request_refused"})
"""Error codes that blame this request alone; those that speak of a language are recognised by that word."""
_CONTENT_CODES = frozenset({"content_policy_violation", "content_filter"})
_LONG_S = 60
"""Stands for a `Retry-After` that is a date."""


@contextmanager
def translate_errors(provider: str) -> Iterator[None]:
    """Raise errors of the SDK, of HTTP and of an answer's decoding as ours; their own words stay in `__cause__`."""
    try:
        yield
    except openai.APIStatusError as error:
        raise _by_status(provider, error.response) from error
    except openai.APIConnectionError as error:
        if isinstance(error.__cause__, httpx2.DecodingError | httpx2.TooManyRedirects):
            raise ProviderMisbehaved(provider, "sent something that is no answer") from error
        raise ProviderDown(provider, "cannot be reached, or went silent") from error
    except (openai.OpenAIError, httpx2.DecodingError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ProviderMisbehaved(provider, "sent something that is no answer") from error
    except (httpx2.TransportError, httpx2.StreamError, TimeoutError) as error:
        raise ProviderDown(provider, "cannot be reached, or went silent") from error


def _by_status(provider: str, response: httpx2.Response) -> ParleyError:
    status, error = response.status_code, _error_object(response)
    code = str(error.get("code") or "")
    if status == 429:
        if code == "insufficient_quota":
            return ProviderRefused(provider, "the account's quota is used up")
        return ProviderBusy(provider, "has too many requests", retry_after_s=_retry_after_s(response))
    if status == 503 and "retry-after" in response.headers:
        return ProviderBusy(provider, "has no room", retry_after_s=_retry_after_s(response))
    if status >= 500:
        return ProviderDown(provider, f"failed inside (HTTP {status})")
    if status in {400, 422} and (error.get("param") == "language" or "language" in code):
        return RequestRefused(provider, "does not know this language")
    if status in {400, 422} and code in _CONTENT_CODES:
        return AnswerWithheld(provider, f"refused this request ({code})")
    if status in {400, 422} and code in _REQUEST_CODES:
        return RequestRefused(provider, f"refused this request ({code})")
    if status == 404:
        return ProviderRefused(provider, "knows no such model, or the address is wrong (HTTP 404)")
    return ProviderRefused(provider, f"refused the request (HTTP {status})")


def _retry_after_s(response: httpx2.Response) -> int | None:
    """What the server asks for; None where it asks for nothing."""
    asked = response.headers.get("retry-after", "")
    if not asked:
        return None
    return int(asked) if asked.isdecimal() and len(asked) < 9 else _LONG_S


def _error_object(response: httpx2.Response) -> Mapping[str, Any]:
    """`error` of the body, as OpenAI writes it; empty where the server writes something else."""
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}
