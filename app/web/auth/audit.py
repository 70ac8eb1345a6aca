"""Records in the audit log what a connection does: its principal and its peer are those of the connection."""

from typing import Any

from litestar.connection import ASGIConnection

from app.domain.audit import AuditAction, AuditOutcome, Detail
from app.domain.principal import Principal
from app.runtime.audit import AuditLog
from app.web.auth.middleware import peer_of


def audit(
    connection: ASGIConnection[Any, Any, Any, Any],
    action: AuditAction,
    *,
    target: str = "",
    tenant: str | None = None,
    outcome: AuditOutcome = AuditOutcome.DONE,
    **details: Detail,
) -> None:
    """One entry. `tenant` is the owner of the target; `details` must not hold what people said."""
    log: AuditLog = connection.app.state.service.audit
    user = connection.scope.get("user")
    principal = user if isinstance(user, Principal) else None
    log.record(action, principal, peer_of(connection), target=target, tenant=tenant, outcome=outcome, **details)
