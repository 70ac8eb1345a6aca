"""Authentication and authorization of every connection, deny by default: a route's `opt` names the scope it needs."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypeAlias

from litestar import WebSocket
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Send
from litestar.types import Scope as ASGIScope

from app.domain.errors import ClientError, ClientFault, ParleyError, ProviderError, TooManyAttempts
from app.domain.principal import Principal, Scope
from app.domain.trusted_proxies import client_address, names_proxy
from app.runtime.authentication import Authenticator, Peer
from app.runtime.service import Service
from app.web.auth.failures import FailedAttempts

ANYONE = {"access": "anyone"}
"""`opt` of a route that needs no authentication."""


ANY_KEY = {"access": "any key"}
"""`opt` of a route for whoever presented a key, whatever its scopes."""


def requires(scope: Scope, *others: Scope) -> dict[str, Scope | frozenset[Scope]]:
    """`opt` of a route for principals with one of these scopes; a route with neither `opt` is for nobody."""
    return {"access": frozenset({scope, *others}) if others else scope}


NO_KEY, WRONG_KEY, TOO_MANY, FORBIDDEN = "no_key", "wrong_key", "too_many", "forbidden"
REFUSALS = (NO_KEY, WRONG_KEY, TOO_MANY, FORBIDDEN)
"""Why a connection is refused, as the metric counts it."""

KEY_PREFIXES = {"parley": "parley-key.", "realtime": "openai-insecure-api-key."}
"""A browser cannot set a header on its WebSocket, so it offers two subprotocols: one of these names, and its prefix
with the key behind it. In the address the key would lie in every log on the way."""
KEY_FOLLOWS = frozenset({"token", "bearer"})
"""Deepgram's clients offer such a name, and the key as the subprotocol behind it."""
SCHEMES = frozenset({"bearer", "token"})
"""Of `Authorization`, in lower case."""


RefuseSocket: TypeAlias = Callable[[WebSocket[Any, Any, Any], Exception], Awaitable[None]]
"""Accepts and closes a socket with this error, in the socket's own protocol."""


class AuthMiddleware(ASGIMiddleware):
    """Sets the connection's `user` to its principal (None: unknown), or refuses the connection."""

    def __init__(
        self,
        authenticator: Callable[[], Authenticator],
        *,
        refuse_socket: RefuseSocket | None = None,
        count_refusal: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`count_refusal` is called with the reason of each refused authentication, one of REFUSALS."""
        self._authenticator = authenticator
        self._refuse_socket = refuse_socket
        self._count_refusal = count_refusal
        self._failures = FailedAttempts(time.monotonic)

    async def handle(self, scope: ASGIScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        try:
            scope["user"] = await self._authorized(connection)
        except ParleyError as error:
            if str(scope["type"]) != ScopeType.WEBSOCKET or self._refuse_socket is None:
                raise
            await self._refuse_socket(WebSocket(scope, receive, send), error)
        else:
            await next_app(scope, receive, send)

    async def _authorized(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Principal | None:
        """The principal, where it may use this route. Raises ClientError, or a ProviderError."""
        access = connection.route_handler.opt.get("access")
        credential, peer = presented_key(connection), peer_of(connection)
        if access == ANYONE["access"]:
            with suppress(ProviderError):  # because such a route is served whether or not keys can be checked
                return await self._authenticator().authenticate(credential, peer)
            return None
        principal = await self._authenticator().authenticate(credential, peer)
        connection.scope["user"] = principal  # also where it is refused, for the audit log
        if principal is None:
            raise self._refusal(credential, peer)
        if error := _authorization_error(principal, access):
            self._count_refusal(FORBIDDEN)
            raise error
        return principal

    def _refusal(self, credential: str | None, peer: Peer) -> ClientError:
        if not credential:
            self._count_refusal(NO_KEY)
            return ClientError(ClientFault.UNAUTHORIZED, "this server asks for a key")
        if retry_after_s := self._failures.retry_after_s(peer):
            self._count_refusal(TOO_MANY)
            return TooManyAttempts(retry_after_s)
        self._count_refusal(WRONG_KEY)
        return ClientError(ClientFault.UNAUTHORIZED, "this key is unknown, expired or revoked")


def presented_key(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The key in the connection's `Authorization` or `api-key` header, or its subprotocols."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() in SCHEMES:
        return key.strip()
    if (key := connection.headers.get("api-key", "").strip()) != "":
        return key
    offered = _subprotocols(connection)
    for prefix in KEY_PREFIXES.values():
        for protocol in offered:
            if protocol.startswith(prefix):
                return protocol.removeprefix(prefix)
    return next((key for name, key in pairwise(offered) if name in KEY_FOLLOWS), None)


def peer_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Peer:
    """Where this connection comes from, as far as trusted proxies say it."""
    service: Service | None = connection.app.state.get("service")
    trusted = service.trusted_proxies if service else ()  # a worker is asked by gateways, which are its peers
    forwarded = connection.headers.getall("x-forwarded-for", [])
    host = connection.client.host if connection.client else ""
    address = client_address(host, forwarded, trusted)
    return Peer(address, is_forwarded=names_proxy(connection.headers))


def subprotocol(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """What to accept of what the client offers, never a key: a browser hangs up on anything else, or on nothing."""
    return next((p for p in _subprotocols(connection) if p in KEY_PREFIXES or p in KEY_FOLLOWS), None)


def _subprotocols(connection: ASGIConnection[Any, Any, Any, Any]) -> Sequence[str]:
    scope: Mapping[str, Any] = connection.scope
    return scope.get("subprotocols") or []


def _authorization_error(principal: Principal, access: Scope | frozenset[Scope] | str | None) -> ClientError | None:
    if access == ANY_KEY["access"]:
        if principal.key_id:
            return None
        return ClientError(ClientFault.FORBIDDEN, "this needs a key")
    if not isinstance(access, Scope | frozenset):
        return ClientError(ClientFault.FORBIDDEN, "nobody may use this")
    scopes = sorted({access} if isinstance(access, Scope) else access)
    if not any(map(principal.may, scopes)):
        return ClientError(ClientFault.FORBIDDEN, f"this needs the scope {' or '.join(scopes)}")
    return None
