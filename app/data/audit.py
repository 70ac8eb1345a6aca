"""The audit log in the database: append-only, written in the background, pruned by age."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import anyio
import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import as_busy, stored_moment
from app.data.pruning import delete_in_batches
from app.data.row_log import RowLog, Rows
from app.data.tables import AuditRow
from app.domain.audit import AuditAction, AuditEntry, AuditFilter, AuditOutcome


@dataclass(slots=True)
class AuditTable:
    """Entries are inserted, and deleted when they are old; nothing changes one."""

    engine: AsyncEngine
    rows: RowLog[AuditEntry] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = RowLog(self.engine, "audit entry", "audit entries", _rows)

    def record(self, entry: AuditEntry) -> None:
        """Queue it. Never waits."""
        self.rows.record(entry)

    async def find(self, criteria: AuditFilter) -> Sequence[AuditEntry]:
        """The newest first. Raises ProviderBusy."""
        if self.rows.is_available:  # what was just recorded is found, too
            await self.rows.flush()
        with as_busy("audit"):
            return [_entry(dict(zip(_NAMES, row, strict=True))) for row in await self.rows.read(_query(criteria))]

    async def prune(self, before: datetime) -> None:
        """Delete entries older than this. Raises ProviderBusy."""
        with as_busy("audit"):
            await delete_in_batches(self.engine, AuditRow, AuditRow.at < stored_moment(before))


@asynccontextmanager
async def audit_in(engine: AsyncEngine) -> AsyncIterator[AuditTable]:
    """The audit log in this open database. What is queued at the end is written."""
    table = AuditTable(engine)
    try:
        yield table
    finally:
        with anyio.CancelScope(shield=True):
            await table.rows.close()


_COLUMNS = tuple(AuditRow.__table__.columns)
_NAMES = tuple(column.name for column in _COLUMNS)


def _query(criteria: AuditFilter) -> Select[Any]:
    query = select(*_COLUMNS).order_by(AuditRow.id.desc()).limit(criteria.limit)
    for column in (
        AuditRow.action,
        AuditRow.tenant,
        AuditRow.target,
        AuditRow.key_id,
        AuditRow.peer,
        AuditRow.outcome,
    ):
        if (value := getattr(criteria, column.key)) is not None:
            query = query.where(column == value)
    if criteria.since is not None:
        query = query.where(AuditRow.at >= stored_moment(criteria.since))
    if criteria.until is not None:
        query = query.where(AuditRow.at < stored_moment(criteria.until))
    if criteria.before is not None:
        query = query.where(AuditRow.id < criteria.before)
    return query


def _rows(batch: Sequence[AuditEntry]) -> Sequence[Rows]:
    return ((AuditRow, [_row(entry) for entry in batch]),)


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {**msgspec.to_builtins(entry), "details": msgspec.json.encode(entry.details).decode()}


def _entry(fields: dict[str, Any]) -> AuditEntry:
    return AuditEntry(
        **{
            **fields,
            "action": AuditAction(fields["action"]),
            "outcome": AuditOutcome(fields["outcome"]),
            "details": msgspec.json.decode(fields["details"]),
        }
    )
