"""Handshakes of WebSockets: who begins a session, and how each protocol's route refuses one.

A route names its way to refuse in its `opt`. Clients of other services understand an HTTP status; a browser tells its
page nothing of a handshake that failed, so that Parley's own sockets are accepted, told why, and closed.
"""

from typing import Any, cast

import msgspec
from litestar import WebSocket
from litestar.types import Message

from app.web.auth.middleware import RefuseSocket, peer_of
from app.web.errors import error_reply, http_answer, http_headers
from app.web.served_session import SessionOrigin

_REFUSE = "refuse_socket"


def refused_by(refuse: RefuseSocket) -> dict[str, RefuseSocket]:
    """`opt` of a WebSocket route whose handshakes are refused so."""
    return {_REFUSE: refuse}


async def refuse(socket: WebSocket[Any, Any, Any], error: Exception) -> None:
    """As the socket's route says; by an HTTP status where it says nothing."""
    await socket.route_handler.opt.get(_REFUSE, refuse_handshake)(socket, error)


async def refuse_handshake(socket: WebSocket[Any, Any, Any], error: Exception) -> None:
    """Answer the request for a WebSocket with the status, headers and body that any request gets for this error."""
    reply = error_reply(error)
    status, body = http_answer(socket.scope["path"], reply)
    headers = [("content-type", "application/json"), *http_headers(socket.scope["path"], reply).items()]
    head = {"status": status, "headers": [(name.encode(), value.encode()) for name, value in headers]}
    await socket.receive()
    await socket.send(cast(Message, {"type": "websocket.http.response.start", **head}))
    await socket.send(cast(Message, {"type": "websocket.http.response.body", "body": msgspec.json.encode(body)}))


def origin_of(socket: WebSocket[Any, Any, Any]) -> SessionOrigin:
    """Who begins a session over this connection; `?profile=` names its profile."""
    return SessionOrigin(
        socket.user, peer_of(socket), socket.headers.get("user-agent", ""), socket.query_params.get("profile")
    )
