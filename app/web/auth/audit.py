"""The audit log of the web edge: a route's `opt` names the action that each request to it is recorded as.

Refused keys are recorded on every route, and requests of administrators on every route that needs the scope `admin`.
Of a request the path is recorded, never the query: searches in it are words that people said.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Send
from litestar.types import Scope as ASGIScope

from app.domain.audit import AuditAction, AuditOutcome, Detail
from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal, Scope
from app.runtime.audit import AuditLog
from app.web.auth.middleware import peer_of
from app.web.errors import error_reply

REPEAT_AFTER_S = 60.0
"""Refusals of one peer are recorded once in this time, so that nobody fills the log by asking."""
MAX_PEERS = 4096
_OWNER, _TARGET = "audit_owner", "audit_target"
_REFUSED_KEY = frozenset({ClientFault.UNAUTHORIZED, ClientFault.TOO_MANY_ATTEMPTS})

NOT_AUDITED: dict[str, AuditAction | None] = {"audit": None}
"""`opt` of a route for administrators that machines read every few seconds."""


def audited(action: AuditAction) -> dict[str, AuditAction]:
    """`opt` of a route each of whose requests is recorded as this action."""
    return {"audit": action}


def set_owner(connection: ASGIConnection[Any, Any, Any, Any], tenant: str) -> None:
    """Whose object this request is about, for its audit entry."""
    connection.scope["state"][_OWNER] = tenant


def set_target(connection: ASGIConnection[Any, Any, Any, Any], target: str) -> None:
    """The object of this request, where its path does not name it."""
    connection.scope["state"][_TARGET] = target


def audit(
    connection: ASGIConnection[Any, Any, Any, Any],
    action: AuditAction,
    *,
    target: str = "",
    tenant: str | None = None,
    outcome: AuditOutcome = AuditOutcome.DONE,
    **details: Detail,
) -> None:
    """One entry by this connection's principal and peer. `tenant` is the owner of the target; `details` no speech."""
    log: AuditLog = connection.app.state.service.audit
    user = connection.scope.get("user")
    principal = user if isinstance(user, Principal) else None
    log.record(action, principal, peer_of(connection), target=target, tenant=tenant, outcome=outcome, **details)


@dataclass(slots=True)
class RefusalThrottle:
    """Which refusals of a peer are recorded: the first, and one a minute from then on, with the number between."""

    now: Callable[[], float] = time.monotonic
    _peers: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Address to the time of its newest entry, and how many refusals were not recorded since; the oldest first."""

    def repeated(self, address: str) -> int | None:
        """How many refusals this entry stands for besides its own; None: there is no entry for this one."""
        newest, skipped = self._peers.pop(address, (None, 0))
        if newest is not None and self.now() - newest < REPEAT_AFTER_S:
            self._peers[address] = (newest, skipped + 1)
            return None
        while len(self._peers) >= MAX_PEERS:
            del self._peers[next(iter(self._peers))]
        self._peers[address] = (self.now(), 0)
        return skipped


class AuditMiddleware(ASGIMiddleware):
    """Records each request by its outcome. It must be outside the authentication, whose refusals it records."""

    def __init__(self) -> None:
        self._throttle = RefusalThrottle()

    async def handle(self, scope: ASGIScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        if str(scope["type"]) == ScopeType.WEBSOCKET:
            await next_app(scope, receive, send)
            user, access = scope.get("user"), connection.route_handler.opt.get("access")
            if user is None:
                self._record_refused_key(connection)
            elif isinstance(access, Scope) and not user.may(access):
                path = connection.scope["path"]
                audit(connection, AuditAction.SESSION_STARTED, target=path, outcome=AuditOutcome.REFUSED)
            return
        status = 0

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await next_app(scope, receive, observed_send)
        except Exception as error:
            if isinstance(error, ClientError) and error.code in _REFUSED_KEY:
                self._record_refused_key(connection)
            else:
                _record(connection, error_reply(error).status)
            raise
        _record(connection, status)

    def _record_refused_key(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        repeated = self._throttle.repeated(peer_of(connection).address)
        if repeated is not None:
            audit(
                connection,
                AuditAction.SIGN_IN_REFUSED,
                target=connection.scope["path"],
                outcome=AuditOutcome.REFUSED,
                repeated=repeated,
            )


def _record(connection: ASGIConnection[Any, Any, Any, Any], status: int) -> None:
    opt = connection.route_handler.opt
    action = opt.get("audit", AuditAction.ADMIN_ACCESS if opt.get("access") is Scope.ADMIN else None)
    if action is None:
        return
    path, state, parameters = connection.scope["path"], connection.scope["state"], connection.path_params
    audit(
        connection,
        action,
        target=str(state.get(_TARGET) or parameters.get("session") or parameters.get("key_id") or path),
        tenant=state.get(_OWNER),
        outcome=_outcome(status),
        status=status,
        method=str(connection.scope.get("method")),
        path=path[:200],
    )


def _outcome(status: int) -> AuditOutcome:
    if status < 400:
        return AuditOutcome.DONE
    return AuditOutcome.REFUSED if status < 500 else AuditOutcome.FAILED
