"""Refuses what a foreign web page sends through a visitor's browser, before any key is looked at."""

from typing import Any

from litestar import WebSocket
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.domain.errors import ClientError, ClientFault
from app.runtime.service import Service
from app.web.auth.middleware import ANYONE, RefuseSocket
from app.web.browser.origin import is_allowed_host, is_allowed_origin

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class BrowserMiddleware(ASGIMiddleware):
    """Deny by default: only what is public and changes nothing may be requested by any page."""

    def __init__(self, refuse_socket: RefuseSocket) -> None:
        self._refuse_socket = refuse_socket

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        error = _refusal(connection)
        if error is not None and str(scope["type"]) == ScopeType.WEBSOCKET:
            await self._refuse_socket(WebSocket(scope, receive, send), error)
        elif error is not None:
            raise error
        elif _is_preflight(connection):  # it carries no key; its answer is in the headers of every response
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await next_app(scope, receive, send)


def own_origin(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The origin of this server's own page, as its visitor's browser has it.

    A proxy that ends TLS says `https` in X-Forwarded-Proto. No list of trusted proxies is needed: a page cannot set
    that header on a request to another origin, and a client that is no browser can set any Origin just as well.
    """
    scheme = {"ws": "http", "wss": "https"}.get(str(connection.scope["scheme"]), str(connection.scope["scheme"]))
    forwarded = connection.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return f"{forwarded or scheme}://{connection.headers.get('host', '')}"


def _refusal(connection: ASGIConnection[Any, Any, Any, Any]) -> ClientError | None:
    service: Service = connection.app.state.service
    host, origin = connection.headers.get("host"), connection.headers.get("origin")
    if not is_allowed_host(host, service.server_names):
        return ClientError(ClientFault.HOST_REFUSED, "this server has another name; see PARLEY_SERVER_NAMES")
    if _is_public(connection) or is_allowed_origin(origin, own_origin(connection), service.allowed_origins):
        return None
    return ClientError(ClientFault.ORIGIN_REFUSED, "this web origin may not connect; see PARLEY_ALLOWED_ORIGINS")


def _is_public(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    is_for_anyone = connection.route_handler.opt.get("access") == ANYONE["access"]
    return is_for_anyone and connection.scope.get("method") in _SAFE_METHODS


def _is_preflight(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    return connection.scope.get("method") == "OPTIONS" and "access-control-request-method" in connection.headers
