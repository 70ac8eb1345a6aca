"""Retention: deletes recordings that are older than their tenant keeps them."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import anyio
import structlog

from app.domain.errors import ParleyError, ProviderError
from app.domain.lease import RETENTION
from app.domain.recording.listing import RecordingRef
from app.runtime.leases import Leases
from app.runtime.recording.recording_index import RecordingIndex
from app.runtime.recording.tombstones import KEEP_DAYS, Tombstones

RUN_EVERY_S = 3600.0
LEASE_S = 600.0
"""How long a process that died keeps the others from deleting what has expired."""
BATCH = 200

_log = structlog.get_logger("parley.archive")


@dataclass(frozen=True, slots=True)
class Retention:
    tombstones: Tombstones
    index: RecordingIndex
    leases: Leases
    delete: Callable[[str, str], Awaitable[object]]
    """Deletes every trace of a session (id, tenant)."""
    live_sessions: Callable[[], Awaitable[Container[str]]]
    """Of every process."""
    now: Callable[[], datetime]
    keep_days: int
    """0: for ever."""
    tenant_keep_days: Callable[[], Mapping[str, int]]
    """The same, for tenants that have their own."""

    async def run(self) -> None:
        """Delete what has expired, every hour, for ever; one process does so at a time.

        Where the store or the database fails it is tried again an hour later.
        """
        while True:
            try:
                if await self.leases.take(RETENTION, LEASE_S):
                    await self.delete_expired()
                    await self.leases.release(RETENTION, completed=True)
            except ParleyError as error:
                _log.warning("expired recordings stay", message=str(error))
            await anyio.sleep(RUN_EVERY_S)

    async def delete_expired(self) -> int:
        """How many were deleted. One that cannot be deleted is logged; a store that is down raises a ProviderError.

        Deletions that failed half-way are finished.
        """
        today = self.now()
        await self.tombstones.prune(today)
        await self.index.forget_deleted(today - timedelta(days=KEEP_DAYS))
        deleted = await self._delete(await self.index.half_deleted())
        default, own = expired_before(today, self.keep_days), self.tenant_keep_days()
        days = {tenant: expired_before(today, keep_days) for tenant, keep_days in own.items()}
        live = await self.live_sessions()
        newest: RecordingRef | None = None
        while expired := await self.index.expired(default, days, newest, BATCH):
            await self.leases.take(RETENTION, LEASE_S)
            deleted += await self._delete([ref for ref in expired if ref.session not in live])
            newest = expired[-1]
        return deleted

    async def _delete(self, refs: Sequence[RecordingRef]) -> int:
        deleted = 0
        for ref in refs:
            try:
                await self.delete(ref.session, ref.tenant)
            except ProviderError as error:
                if error.retryable:
                    raise
                _log.warning("expired recording stays", session=ref.session, message=str(error))
            else:
                deleted += 1
        return deleted


def expired_before(today: datetime, keep_days: int) -> str:
    """The first day (ISO 8601) that is kept; empty where every day is."""
    return (today - timedelta(days=keep_days)).date().isoformat() if keep_days > 0 else ""


def last_day_kept(day: str, keep_days: int) -> str:
    """The last day (ISO 8601) of a recording of this day; from the next one on it is deleted. `keep_days` is not 0."""
    return (date.fromisoformat(day) + timedelta(days=keep_days)).isoformat()
