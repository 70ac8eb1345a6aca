"""Authentication and authorization of every connection, deny by default: a route's `opt` names the scope it needs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from litestar import WebSocket
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Send
from litestar.types import Scope as ASGIScope

from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal, Scope
from app.domain.trusted_proxies import client_address
from app.runtime.authentication import Peer
from app.runtime.service import Service

ANYONE = {"access": "anyone"}
"""`opt` of a route that needs no authentication."""


def requires(scope: Scope) -> dict[str, Scope]:
    """`opt` of a route for principals with this scope; a route with neither `opt` is for nobody."""
    return {"access": scope}


PROTOCOL, KEY_PREFIX = "parley", "parley-key."
"""A browser cannot set a header on its WebSocket, so it offers two subprotocols: `parley`, and the prefix with
its key behind it. In the address the key would lie in every log on the way."""


RefuseSocket: TypeAlias = Callable[[WebSocket[Any, Any, Any], ClientError], Awaitable[None]]
"""Accepts and closes a socket with this error, in the socket's own protocol."""


class AuthMiddleware(ASGIMiddleware):
    """Sets the connection's `user` to its principal (None: unknown), or refuses the connection."""

    def __init__(self, refuse_socket: RefuseSocket) -> None:
        self._refuse_socket = refuse_socket

    async def handle(self, scope: ASGIScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        service: Service = connection.app.state.service
        principal = await service.authenticator.authenticate(presented_key(connection), peer_of(connection))
        scope["user"] = principal
        error = _authorization_error(principal, connection.route_handler.opt.get("access"))
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


def peer_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Peer:
    """Where this connection comes from, as far as trusted proxies say it."""
    service: Service = connection.app.state.service
    forwarded = connection.headers.getall("x-forwarded-for", [])
    host = connection.client.host if connection.client else ""
    address = client_address(host, forwarded, service.trusted_proxies)
    return Peer(address, is_forwarded=bool(forwarded) or "forwarded" in connection.headers)


async def accept(socket: WebSocket[Any, Any, Any]) -> None:
    """Accept with our subprotocol where the client offers it: a browser hangs up on anything else."""
    await socket.accept(PROTOCOL if PROTOCOL in _subprotocols(socket) else None)


def _subprotocols(connection: ASGIConnection[Any, Any, Any, Any]) -> Sequence[str]:
    scope: Mapping[str, Any] = connection.scope
    return scope.get("subprotocols") or []


def _authorization_error(principal: Principal | None, access: Scope | str | None) -> ClientError | None:
    if access == "anyone":
        return None
    if principal is None:
        return ClientError(ClientFault.UNAUTHORIZED, "this server asks for a key, and this is none of its keys")
    if not isinstance(access, Scope):
        return ClientError(ClientFault.FORBIDDEN, "nobody may use this")
    if not principal.may(access):
        return ClientError(ClientFault.FORBIDDEN, f"this needs the scope {access}, which this key does not have")
    return None
