"""Nobody comes to a route without a key, unless the route itself says that anyone may."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import WebSocket
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import WebSocketDisconnect
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.domain.errors import ClientError, ClientFault
from app.domain.tenant import Tenant
from app.web.parley import messages

ANYONE = {"access": "anyone"}
OPERATOR = {"access": "operator"}
"""What a route says in its `opt`; one that says nothing is for every tenant."""

PROTOCOL, KEY = "parley", "parley-key."
"""A browser cannot set a header on its WebSocket, so it offers two subprotocols: `parley`, and this with
its key behind it. In the address the key would lie in every log on the way."""

_POLICY_VIOLATION = 1008


class AuthMiddleware(ASGIMiddleware):
    """Tells the routes behind it who has come, as `user`."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        tenant = connection.app.state.service.identify(presented_key(connection))
        scope["user"] = tenant
        error = _refusal(tenant, connection.route_handler.opt.get("access", "tenant"))
        if error is None:
            await next_app(scope, receive, send)
        elif str(scope["type"]) == ScopeType.WEBSOCKET:
            await _close(WebSocket(scope, receive, send), error)
        else:
            await _answer(send, error)


def presented_key(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The key this client shows."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return next((p.removeprefix(KEY) for p in _offered(connection) if p.startswith(KEY)), None)


async def accept(socket: WebSocket[Any, Any, Any]) -> None:
    """With the subprotocol of ours, where the client offers it: a browser hangs up on anything else."""
    await socket.accept(PROTOCOL if PROTOCOL in _offered(socket) else None)


def _offered(connection: ASGIConnection[Any, Any, Any, Any]) -> Sequence[str]:
    scope: Mapping[str, Any] = connection.scope
    return scope.get("subprotocols") or []


def _refusal(tenant: Tenant | None, door: str) -> ClientError | None:
    if door == "anyone":
        return None
    if tenant is None:
        return ClientError(ClientFault.UNAUTHORIZED, "this server asks for a key, and this is none of its keys")
    if door == "operator" and not tenant.operator:
        return ClientError(ClientFault.FORBIDDEN, "this is for operators alone")
    return None


async def _answer(send: Send, error: ClientError) -> None:
    headers = [(b"content-type", b"application/json")]
    if error.code is ClientFault.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="parley"'))
    body = msgspec.json.encode({"code": error.code, "message": str(error)})
    headers.append((b"content-length", str(len(body)).encode()))
    status = 401 if error.code is ClientFault.UNAUTHORIZED else 403
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _close(socket: WebSocket[Any, Any, Any], error: ClientError) -> None:
    """Open it first: a browser tells its page nothing of a connection that never was."""
    try:
        await accept(socket)
        await socket.send_data(messages.encode(messages.error_message(error, fatal=True)), mode="text")
        await socket.close(_POLICY_VIOLATION, error.code)
    except (WebSocketDisconnect, OSError):
        return  # it left before it heard why
