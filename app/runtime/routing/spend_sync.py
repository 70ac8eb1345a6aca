"""Shares the ledger with the other processes on one database: publishes its sums and reads theirs, every second.

Nothing waits for it. While the database is unavailable the ledger counts on by itself, with the newest sums it has of
the others; what it counted is published once the database is back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio
import structlog

from app.domain.errors import ProviderBusy
from app.domain.ports import Clock
from app.runtime.routing.ledger import SpendLedger

SYNC_EVERY_S = 1.0
"""So a process knows within two seconds, its own and the other's, what the others reserved or spent."""

CLOSE_TIMEOUT_S = 5.0
"""How long the end of the service waits for a database that does not answer, after the transaction in progress."""

REPORTED_AFTER = 3
"""Failures in a row after which the log says that budgets are not shared: a lock is often held for a moment."""

_log = structlog.get_logger("parley.spend")


class SpendStore(Protocol):
    """Sums of all processes. Both methods raise ProviderBusy."""

    async def publish(self, spent: Mapping[tuple[str, str], float]) -> None: ...

    async def spent_by_others(self, day: str) -> Mapping[str, float]: ...


@dataclass(slots=True)
class SpendSync:
    ledger: SpendLedger
    store: SpendStore
    clock: Clock
    synced_at: float | None = None
    """When both directions last succeeded, in seconds of the clock."""
    _failures: int = 0

    @property
    def age_s(self) -> float | None:
        """Seconds since the sums of the others were read; None where they never were."""
        return None if self.synced_at is None else self.clock.now() - self.synced_at

    async def sync_loop(self) -> None:
        """For ever."""
        while True:
            await self.sync()
            await self.clock.sleep_until(self.clock.now() + SYNC_EVERY_S)

    async def close(self) -> None:
        """Publish what is left, where the database answers in time; not cancelled from outside."""
        if not self.ledger.changes():
            return
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self.sync()

    async def sync(self) -> None:
        """Publish what changed, and read what the others spent today. Raises nothing."""
        changes, day = self.ledger.changes(), self.ledger.today()
        try:
            if changes:
                await self.store.publish(changes)
                self.ledger.published(changes)
            self.ledger.read_others(day, await self.store.spent_by_others(day))
        except ProviderBusy as error:
            self.ledger.publish_again()  # because the database may come back empty
            self._failures += 1
            if self._failures == REPORTED_AFTER:
                _log.error("budgets are not shared with other processes now", reason=str(error))
        else:
            if self._failures >= REPORTED_AFTER:
                _log.info("budgets are shared again")
            self._failures, self.synced_at = 0, self.clock.now()
