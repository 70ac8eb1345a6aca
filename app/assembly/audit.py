"""Opens the audit log in the database."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.data.audit import audit_in
from app.data.pruning import prune_loop
from app.domain.audit import AuditAction, AuditOutcome
from app.runtime.audit import AuditLog, watch_dropped_entries
from app.runtime.supervision import run_in_background


@asynccontextmanager
async def open_audit(
    settings: Settings, database: AsyncEngine, registry: CollectorRegistry
) -> AsyncGenerator[AuditLog, None]:
    """The audit log, written and pruned in the background."""
    async with audit_in(database) as table:
        watch_dropped_entries(registry, lambda: table.rows.dropped)
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "audit_writer": table.rows.write_loop,
            "audit_pruning": partial(prune_loop, "audit entries", table.prune, settings.audit_keep_days),
        }
        async with run_in_background(tasks):
            yield AuditLog(table)


def change_recorder(audit: AuditLog, action: AuditAction, file: str | Path | None) -> Callable[[str], None]:
    """What records each change of this file: in force, or refused for a reason."""

    def record(refusal: str) -> None:
        outcome = AuditOutcome.REFUSED if refusal else AuditOutcome.DONE
        audit.record(action, target=str(file or ""), outcome=outcome, reason=refusal or None)

    return record
