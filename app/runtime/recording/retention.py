"""Retention: deletes recordings that are older than their tenant keeps them."""

from collections.abc import Awaitable, Callable, Container, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio
import structlog

from app.domain.errors import ParleyError, ProviderError
from app.runtime.recording.recording_store import RecordingStore

RUN_EVERY_S = 3600.0

_log = structlog.get_logger("parley.archive")


@dataclass(frozen=True, slots=True)
class Retention:
    recordings: RecordingStore
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
        """Delete what has expired, every hour, for ever; where the store fails it is tried again an hour later."""
        while True:
            try:
                await self.delete_expired()
            except ParleyError as error:
                _log.warning("expired recordings stay", message=str(error))
            await anyio.sleep(RUN_EVERY_S)

    async def delete_expired(self) -> int:
        """How many were deleted. One that cannot be deleted is logged; a store that is down raises a ProviderError."""
        today = self.now()
        await self.recordings.tombstones.prune(today)
        own = self.tenant_keep_days()
        if not self.keep_days and not any(own.values()):
            return 0
        live = await self.live_sessions()
        async with aclosing(self.recordings.list_refs()) as refs:
            expired = [
                ref
                async for ref in refs
                if is_expired(ref.day, today, own.get(ref.tenant, self.keep_days)) and ref.session not in live
            ]
        deleted = 0
        for ref in expired:
            try:
                await self.delete(ref.session, ref.tenant)
            except ProviderError as error:
                if error.retryable:
                    raise
                _log.warning("expired recording stays", session=ref.session, message=str(error))
            else:
                deleted += 1
        return deleted


def is_expired(day: str, today: datetime, keep_days: int) -> bool:
    """Whether a recording of this day (ISO 8601) is older than `keep_days`; with 0 days none is."""
    return keep_days > 0 and day < (today - timedelta(days=keep_days)).date().isoformat()
