"""The one translator from the SDK's errors to ours."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import openai

from app.domain.errors import ProviderBusy, ProviderDown, ProviderMisbehaved, ProviderRefused


@contextmanager
def our_errors(provider: str) -> Iterator[None]:
    """Around every call of the SDK."""
    try:
        yield
    except (openai.APIConnectionError, TimeoutError) as error:
        raise ProviderDown(provider, "cannot be reached, or went silent") from error
    except openai.RateLimitError as error:
        if error.code == "insufficient_quota":
            raise ProviderRefused(provider, "the account's quota is used up") from error
        raise ProviderBusy(provider, "has too many requests") from error
    except openai.InternalServerError as error:
        if error.status_code == 503 and "retry-after" in error.response.headers:
            raise ProviderBusy(provider, "has no room") from error
        raise ProviderDown(provider, f"failed inside (HTTP {error.status_code})") from error
    except openai.APIStatusError as error:
        raise ProviderRefused(provider, f"refused the request (HTTP {error.status_code})") from error
    except (openai.OpenAIError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ProviderMisbehaved(provider, "sent something that is no answer") from error
