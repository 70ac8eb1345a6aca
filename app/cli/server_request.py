"""Asks a running server, for commands that use or administer it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from app.domain.errors import ProviderDown, ProviderRefused, SettingsError
from app.proxies import proxy_of

TIMEOUT_S = 10.0
SILENCE_S = 60.0
"""Events whose connection says nothing for so long are of a server that is gone."""


def ask(method: str, url: str, path: str, key: str | None, query: Mapping[str, str], hints: Mapping[int, str]) -> Any:
    """The JSON that a server answers. Raises SettingsError, ProviderRefused or ProviderDown.

    `hints`: what to do about a status; the server's own message says it where there is none.
    """
    return decoded(url, fetch(method, url, path, key, hints, params=dict(query)))


def fetch(method: str, url: str, path: str, key: str | None, hints: Mapping[int, str], **request: Any) -> bytes:
    """The bytes that a server answers; `request` as httpx has it. Raises what ask() raises."""
    with _explained(url, hints), _client(url, path) as client:
        response = client.request(method, _address(url, path), headers=_headers(key), **request)
        response.raise_for_status()
        return response.content


def decoded(url: str, answer: bytes) -> Any:
    """The JSON of an answer. Raises ProviderRefused."""
    with _explained(url, {}):
        return msgspec.json.decode(answer)


def read_events(url: str, path: str, key: str | None, hints: Mapping[int, str]) -> Iterator[tuple[str, Any]]:
    """The name and the JSON of each server-sent event. Raises what ask() raises, also in the middle."""
    timeout = httpx.Timeout(TIMEOUT_S, read=SILENCE_S)
    with (
        _explained(url, hints),
        _client(url, path) as client,
        client.stream("GET", _address(url, path), headers=_headers(key), timeout=timeout) as response,
    ):
        if response.is_error:
            response.read()
        response.raise_for_status()
        event = "message"
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                yield event, msgspec.json.decode(value)


def _client(url: str, path: str) -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_S, proxy=proxy_of(_address(url, path)), trust_env=False)


def _address(url: str, path: str) -> str:
    return f"{url.rstrip('/')}{path}"


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


@contextmanager
def _explained(url: str, hints: Mapping[int, str]) -> Iterator[None]:
    try:
        yield
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
    """What the server says about its refusal, in its own shape or in OpenAI's; empty where it says nothing."""
    try:
        answer = response.json()
        return str(answer["error"]["message"] if "error" in answer else answer["message"])
    except (ValueError, KeyError, TypeError):
        return ""
