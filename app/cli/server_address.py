"""Where a command finds the server: by `--url`, else at the port that the settings name."""

from collections.abc import Callable
from typing import TypeVar

import click

from app.config import ServerSettings, read_settings

_LOOPBACK_OR_ALL = frozenset({"127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104 because nothing is bound here
_Command = TypeVar("_Command", bound=Callable[..., object])


def url_option(
    *, scheme: str = "http", path: str = "", purpose: str = "A running server."
) -> Callable[[_Command], _Command]:
    """The option `--url`. Its default is the address that `parley serve` has with the same settings."""
    return click.option(
        "--url",
        default=lambda: default_url(read_settings(), scheme, path),
        show_default=f"{scheme}://PARLEY_HOST:PARLEY_PORT{path}",
        help=purpose,
    )


def default_url(settings: ServerSettings, scheme: str, path: str) -> str:
    """The address of a server with these settings, from the same machine; of port 0 nothing is known: 8000."""
    host = "localhost" if settings.host in _LOOPBACK_OR_ALL else settings.host
    port = settings.port or ServerSettings.model_fields["port"].default
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"
