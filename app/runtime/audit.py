"""The audit log: every entry is one structured log line, and one row of the database where there is one."""

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from app.domain.audit import AuditAction, AuditEntry, AuditFilter, AuditOutcome, Detail
from app.domain.principal import Principal
from app.runtime.authentication import Peer

MAX_TARGET = 200
"""Characters: some targets come from a client."""

_log = structlog.get_logger("parley.audit")


class AuditStore(Protocol):
    """Keeps entries; they can be appended and read, never changed."""

    def record(self, entry: AuditEntry) -> None:
        """Queue it. Never waits."""
        ...

    async def find(self, criteria: AuditFilter) -> Sequence[AuditEntry]:
        """The newest first. Raises ProviderBusy."""
        ...


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class AuditLog:
    store: AuditStore | None = None
    """None: entries are log lines alone."""
    now: Callable[[], datetime] = field(default=utc_now)

    def record(
        self,
        action: AuditAction,
        principal: Principal | None = None,
        peer: Peer | None = None,
        *,
        target: str = "",
        tenant: str | None = None,
        outcome: AuditOutcome = AuditOutcome.DONE,
        **details: Detail,
    ) -> None:
        """Record an action. Never waits, never raises; without a principal and a peer it is the service's own.

        `tenant` is the owner of the target, where it is not the principal's. `details` must not hold what people said.
        """
        owner = tenant if tenant is not None else principal.tenant.name if principal else ""
        entry = AuditEntry(
            id=_entry_id(),
            at=self.now().astimezone(UTC).isoformat(timespec="milliseconds"),
            key_id=principal.key_id if principal else "",
            key_name=principal.name if principal else "",
            tenant=owner,
            peer=peer.address if peer else "",
            action=action,
            target=target[:MAX_TARGET],
            outcome=outcome,
            details=details,
        )
        _log.info(
            "audit",
            action=action.value,
            outcome=outcome.value,
            target=entry.target,
            tenant=owner,
            key=entry.key_id,
            peer=entry.peer,
            **{f"detail_{name}": value for name, value in details.items()},
        )
        if self.store is not None:
            self.store.record(entry)

    async def find(self, criteria: AuditFilter) -> Sequence[AuditEntry]:
        """Stored entries, the newest first; none without a store. Raises ProviderBusy."""
        return await self.store.find(criteria) if self.store is not None else ()


def _entry_id() -> str:
    """It begins with the time, so that ids sort like the entries they name."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def watch_dropped_entries(registry: CollectorRegistry, dropped: Callable[[], int]) -> None:
    """Export how many entries could not be stored, read at each scrape."""
    registry.register(_DroppedEntries(dropped))


@dataclass(frozen=True, eq=False, slots=True)
class _DroppedEntries(Collector):
    dropped: Callable[[], int]

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "parley_audit_dropped", "Audit entries that could not be stored.", value=self.dropped()
        )
