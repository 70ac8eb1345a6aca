"""Where a command finds the server: by `--url`, else at the port that the settings name."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from app.config import ServerSettings, read_settings

_LOOPBACK_OR_ALL = frozenset({"127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104 because nothing is bound here
DEFAULT_PORT = ServerSettings.model_fields["port"].default
_Command = TypeVar("_Command", bound=Callable[..., object])


def url_option(
    *, scheme: str = "http", path: str = "", purpose: str = "A running server."
) -> Callable[[_Command], _Command]:
    """The option `--url`. Its default is the address that `parley serve` has with the same settings."""
    return click.option(
        "--url",
        default=lambda: default_url(read_settings(), scheme, path),
        callback=partial(_complete, scheme),
        show_default=f"{scheme}://PARLEY_HOST:PARLEY_PORT{path}",
        help=purpose,
    )


def _complete(scheme: str, _context: click.Context, _option: click.Parameter, url: Any) -> str:
    return complete_url(url, scheme, lambda: read_settings().port)


def complete_url(url: str, scheme: str, port: Callable[[], int]) -> str:
    """The address for `ws` or `http`, from one with either's scheme or none; another scheme is left to be refused.

    `https://voice.example.org` becomes `wss://voice.example.org`; `box` the port of the settings at that host.
    """
    given, separator, rest = url.partition("://")
    if not separator:
        host, slash, path = url.partition("/")
        has_port = re.search(r":\d+$", host) and (host.count(":") == 1 or "]:" in host)
        return f"{scheme}://{host}{'' if has_port else f':{port() or DEFAULT_PORT}'}{slash}{path}"
    is_secure = {"http": False, "https": True, "ws": False, "wss": True}.get(given.lower())
    return url if is_secure is None else f"{scheme}{'s' if is_secure else ''}://{rest}"


def default_url(settings: ServerSettings, scheme: str, path: str) -> str:
    """The address of a server with these settings, from the same machine; of port 0 nothing is known: 8000."""
    host = "localhost" if settings.host in _LOOPBACK_OR_ALL else settings.host
    port = settings.port or DEFAULT_PORT
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"
