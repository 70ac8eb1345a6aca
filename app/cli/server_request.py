"""Asks a running server, for commands that administer it."""

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from app.domain.errors import ProviderDown, ProviderRefused, SettingsError
from app.proxies import proxy_of

TIMEOUT_S = 10.0


def ask(method: str, url: str, path: str, key: str | None, query: Mapping[str, str], hints: Mapping[int, str]) -> Any:
    """The JSON that a server answers. Raises SettingsError, ProviderRefused or ProviderDown.

    `hints`: what to do about a status; the server's own message says it where there is none.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    address = f"{url.rstrip('/')}{path}"
    try:
        with httpx.Client(timeout=TIMEOUT_S, proxy=proxy_of(address), trust_env=False) as client:
            response = client.request(method, address, params=dict(query), headers=headers)
            response.raise_for_status()
            return msgspec.json.decode(response.content)
    except UnicodeEncodeError as error:
        raise SettingsError("--key: this is no key: it has characters that no header can carry") from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        said = _message(error.response) or f"the server answered HTTP {status}"
        raise ProviderRefused(url, hints.get(status, said)) from error
    except msgspec.DecodeError as error:
        raise ProviderRefused(url, "what answers there is no Parley server") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError) as error:
        raise SettingsError(f"{url} is not the address of a server: {error}") from error
    except httpx.TransportError as error:
        raise ProviderDown(url, "no server answers there; is it running?") from error


def _message(response: httpx.Response) -> str:
    """What the server says about its refusal; empty where it says nothing."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return ""
