"""Money spent per session, tenant and day; what is reserved for work in flight counts as spent.

Each process counts its own spending and knows the newest published sums of the others (`spend_sync`).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.domain.routing.cost import Spent

DAYS_KEPT = 3
"""Days whose counts stay in memory: a clock that jumps over midnight and back finds the counts as they were."""


def utc_day() -> str:
    """Like 2026-01-31."""
    return datetime.now(UTC).date().isoformat()


@dataclass(slots=True)
class SpendLedger:
    """US dollars: sessions count until they end, tenants and the whole service for one day (UTC)."""

    today: Callable[[], str] = utc_day
    sessions: dict[str, float] = field(default_factory=dict)
    own: dict[str, defaultdict[str, float]] = field(default_factory=dict)
    """By day and tenant: spending of this process; that of the service itself has an empty name."""
    others: dict[str, Mapping[str, float]] = field(default_factory=dict)
    """The same of all other processes that share the budgets, as last read."""
    unpublished: set[tuple[str, str]] = field(default_factory=set)
    """Days and tenants whose `own` sum has changed since it was published."""

    def spent(self, session: str, tenant: str) -> Spent:
        """Today's, by all processes."""
        day = self.today()
        own: Mapping[str, float] = self.own.get(day, {})
        others = self.others.get(day, {})
        return Spent(
            self.sessions.get(session, 0.0),
            own.get(tenant, 0.0) + others.get(tenant, 0.0),
            sum(own.values()) + sum(others.values()),
        )

    def spent_by_tenant(self) -> dict[str, float]:
        """Today's, by all processes; the service's own under the empty name."""
        day = self.today()
        total = defaultdict[str, float](float, self.others.get(day, {}))
        for tenant, usd in self.own.get(day, {}).items():
            total[tenant] += usd
        return dict(total)

    def add(self, session: str, tenant: str, usd: float) -> None:
        """Count what was spent. Both names are empty for the service's own."""
        if usd:
            self.reserve(session, tenant, usd)

    def reserve(self, session: str, tenant: str, usd: float) -> "Reservation":
        """Count this much as spent today until it is settled."""
        reservation = Reservation(self, self.today(), session, tenant)
        if session:
            self.sessions.setdefault(session, 0.0)
        reservation.settle(usd)
        return reservation

    def close(self, session: str) -> None:
        self.sessions.pop(session, None)

    def count(self, day: str, session: str, tenant: str, usd: float) -> None:
        """Add to the counts of one day; a negative amount takes back what was reserved."""
        if session in self.sessions:
            self.sessions[session] += usd
        if day not in self.own:
            self.own[day] = defaultdict(float)
            _keep_newest(self.own)
        self.own[day][tenant] += usd
        self.unpublished.add((day, tenant))

    def changes(self) -> dict[tuple[str, str], float]:
        """Sums of this process, by day and tenant, that are to be published."""
        return {(day, tenant): self.own[day][tenant] for day, tenant in self.unpublished if day in self.own}

    def publish_again(self) -> None:
        """Let every sum be published: what was published may be lost."""
        self.unpublished = {(day, tenant) for day, tenants in self.own.items() for tenant in tenants}

    def published(self, spent: Mapping[tuple[str, str], float]) -> None:
        """These sums are published; one that has changed since, or whose day is gone, is not."""
        self.unpublished = {key for key, usd in self.changes().items() if spent.get(key) != usd}

    def read_others(self, day: str, spent: Mapping[str, float]) -> None:
        """Replace what is known of the other processes' spending on this day."""
        self.others[day] = spent
        _keep_newest(self.others)


@dataclass(slots=True, eq=False)
class Reservation:
    """Money that counts as spent, on the day it was reserved, whenever it is settled."""

    ledger: SpendLedger
    day: str
    session: str
    tenant: str
    usd: float = 0.0

    def settle(self, usd: float) -> None:
        """Replace the amount by this one."""
        change, self.usd = usd - self.usd, usd
        if change:
            self.ledger.count(self.day, self.session, self.tenant, change)


def _keep_newest(days: MutableMapping[str, Any]) -> None:
    """Drop the days that were begun first."""
    for day in list(days)[:-DAYS_KEPT]:
        del days[day]
