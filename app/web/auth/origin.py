"""Which web pages may connect: a foreign page must not use a visitor's browser to reach this server."""

from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from app.domain.errors import ClientError, ClientFault


def is_allowed_origin(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """No `Origin`: no browser. A page of our own has our host; the origin of any other must be allowed by name."""
    if origin is None or origin in allowed or "*" in allowed:
        return True
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # such as `http://[`, which no browser sends
        return False


def check_origin(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> None:
    """Raises ClientError where the page of this origin may not connect."""
    if not is_allowed_origin(origin, host, allowed):
        raise ClientError(ClientFault.ORIGIN_REFUSED, "this web origin may not connect; see PARLEY_ALLOWED_ORIGINS")


def refuse_foreign_origin(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: a foreign web page cannot use a visitor's browser to read, change or delete. Raises ClientError."""
    headers, allowed = connection.headers, connection.app.state.service.allowed_origins
    check_origin(headers.get("origin"), headers.get("host"), allowed)
