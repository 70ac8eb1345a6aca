"""API-key authentication, deny by default: a route is for every tenant unless its `opt` says otherwise."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from litestar import WebSocket
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.domain.errors import ClientError, ClientFault
from app.domain.tenant import Tenant

ANYONE = {"access": "anyone"}
"""`opt` of a route that requires no key."""
OPERATOR = {"access": "operator"}
"""`opt` of a route for operators; a route without `access` is for every tenant."""

PROTOCOL, KEY_PREFIX = "parley", "parley-key."
"""A browser cannot set a header on its WebSocket, so it offers two subprotocols: `parley`, and the prefix with
its key behind it. In the address the key would lie in every log on the way."""


RefuseSocket: TypeAlias = Callable[[WebSocket[Any, Any, Any], ClientError], Awaitable[None]]
"""Accepts and closes a socket with this error, in the socket's own protocol."""


class AuthMiddleware(ASGIMiddleware):
    """Sets the connection's `user` to the tenant whose key it presents, or refuses the connection."""

    def __init__(self, refuse_socket: RefuseSocket) -> None:
        self._refuse_socket = refuse_socket

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        tenant = connection.app.state.service.identify(presented_key(connection))
        scope["user"] = tenant
        error = _authorization_error(tenant, connection.route_handler.opt.get("access", "tenant"))
        if error is None:
            await next_app(scope, receive, send)
        elif str(scope["type"]) == ScopeType.WEBSOCKET:
            await self._refuse_socket(WebSocket(scope, receive, send), error)
        else:
            raise error


def presented_key(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The key in the connection's `Authorization` header or its subprotocols."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return next((p.removeprefix(KEY_PREFIX) for p in _subprotocols(connection) if p.startswith(KEY_PREFIX)), None)


async def accept(socket: WebSocket[Any, Any, Any]) -> None:
    """Accept with our subprotocol where the client offers it: a browser hangs up on anything else."""
    await socket.accept(PROTOCOL if PROTOCOL in _subprotocols(socket) else None)


def _subprotocols(connection: ASGIConnection[Any, Any, Any, Any]) -> Sequence[str]:
    scope: Mapping[str, Any] = connection.scope
    return scope.get("subprotocols") or []


def _authorization_error(tenant: Tenant | None, access: str) -> ClientError | None:
    if access == "anyone":
        return None
    if tenant is None:
        return ClientError(ClientFault.UNAUTHORIZED, "this server asks for a key, and this is none of its keys")
    if access == "operator" and not tenant.operator:
        return ClientError(ClientFault.FORBIDDEN, "this is for operators alone")
    return None
