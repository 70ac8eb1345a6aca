"""Money spent on finals today, per session, tenant and day; what is reserved for attempts in flight counts as spent."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.domain.routing.cost import Spent


def utc_day() -> str:
    """Like 2026-01-31."""
    return datetime.now(UTC).date().isoformat()


@dataclass(slots=True)
class SpendLedger:
    """US dollars: sessions count until they end, tenants and the whole service for one day (UTC)."""

    today: Callable[[], str] = utc_day
    tenants: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    sessions: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    day: str = ""

    def resume(self, spent_today: Mapping[str, float]) -> None:
        """Add what each tenant had spent before a restart."""
        self._start_day()
        for tenant, usd in spent_today.items():
            self.tenants[tenant] += usd

    def spent(self, session: str, tenant: str) -> Spent:
        self._start_day()
        return Spent(self.sessions.get(session, 0.0), self.tenants.get(tenant, 0.0), sum(self.tenants.values()))

    def add(self, session: str, tenant: str, usd: float) -> None:
        """A negative amount releases what was reserved and not used. Both names are empty for the service's own."""
        if usd:
            self._start_day()
            if session:
                self.sessions[session] += usd
            self.tenants[tenant] += usd

    def close(self, session: str) -> None:
        self.sessions.pop(session, None)

    def _start_day(self) -> None:
        today = self.today()
        if today != self.day:
            self.day = today
            self.tenants.clear()
