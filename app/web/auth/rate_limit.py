"""Rate of requests and handshakes, per address before authentication and per key after it."""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Any

import anyio
from litestar import WebSocket
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.domain.client_limits import BURST_S
from app.domain.errors import RateLimited
from app.domain.token_bucket import TokenBucket
from app.web.auth.middleware import RefuseSocket, peer_of

MAX_BUCKETS = 10_000
"""Clients that are counted at once; beyond it the one that was seen longest ago begins anew."""


class RateLimiter:
    """A token bucket for each client, in bounded memory."""

    def __init__(self, per_s: float, max_buckets: int = MAX_BUCKETS) -> None:
        self._per_s, self._max_buckets = per_s, max_buckets
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Count one request. Returns the seconds until the client may send it; 0: it may now."""
        bucket = self._buckets.setdefault(client, TokenBucket(self._per_s, max(1.0, self._per_s * BURST_S), now))
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        return bucket.take(now)


class RateLimitMiddleware(ASGIMiddleware):
    """Refuses what a client sends too fast: 429 with Retry-After, or an error and close code 1013."""

    def __init__(
        self,
        per_s: float,
        client_of: Callable[[ASGIConnection[Any, Any, Any, Any]], str],
        refuse_socket: RefuseSocket,
    ) -> None:
        """`client_of` names the client that is counted; empty: it is not."""
        self._limiter, self._client_of, self._refuse_socket = RateLimiter(per_s), client_of, refuse_socket

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        client = self._client_of(ASGIConnection(scope))
        wait_s = self._limiter.take(client, anyio.current_time()) if client else 0.0
        if not wait_s:
            await next_app(scope, receive, send)
            return
        error = RateLimited("too many requests in a short time; send fewer", retry_after_s=ceil(wait_s))
        if str(scope["type"]) == ScopeType.WEBSOCKET:
            await self._refuse_socket(WebSocket(scope, receive, send), error)
        else:
            raise error


def network_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The address, or the IPv6 network; empty for this machine's own clients."""
    peer = peer_of(connection)
    return peer.network if peer.is_limited else ""


def key_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The id of the principal's key; empty where there is none."""
    user = connection.scope.get("user")
    return user.key_id if user else ""
