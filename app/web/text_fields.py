"""Text fields of queries and forms: none has a control character, such as the line break that begins another header."""

from typing import Any
from unicodedata import category

from litestar import WebSocket
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.domain.errors import ClientError, ClientFault
from app.web.auth.middleware import RefuseSocket


def refuse_control_characters(name: str, text: str) -> None:
    """Raises ClientError."""
    if any(category(character) == "Cc" for character in text):
        raise ClientError(
            ClientFault.BAD_MESSAGE, f"{name} has a control character, such as a line break; send it without"
        )


class QueryMiddleware(ASGIMiddleware):
    """Refuses a connection whose query has control characters, percent-encoded, on any route."""

    def __init__(self, refuse_socket: RefuseSocket | None = None) -> None:
        self._refuse_socket = refuse_socket

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        try:
            for name, text in connection.query_params.multi_items():
                refuse_control_characters("the name of a query parameter", name)
                refuse_control_characters(f"the query parameter {name}", text)
        except ClientError as error:
            if self._refuse_socket is None or str(scope["type"]) != ScopeType.WEBSOCKET:
                raise
            await self._refuse_socket(WebSocket(scope, receive, send), error)
        else:
            await next_app(scope, receive, send)
