"""Prices of routes, budgets, and the token bucket of hedges."""

from dataclasses import dataclass, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Price:
    """What a route charges for audio, in US dollars."""

    usd_per_minute: float = 0.0
    minimum_s: float = 0.0
    """Fewest seconds billed for one request or stream."""

    @property
    def is_free(self) -> bool:
        return self.usd_per_minute == 0

    def bill(self, seconds: float) -> float:
        """What so many seconds cost in one stream."""
        return self.metered(max(seconds, self.minimum_s)) if seconds > 0 else 0.0

    def metered(self, billed_s: float) -> float:
        """What so many seconds cost that the provider has counted itself, its minimum included."""
        return billed_s * self.usd_per_minute / 60

    def marginal(self, seconds: float, *, streamed: float = 0.0) -> float:
        """What so many seconds add to the bill of a stream that carried `streamed` seconds before."""
        return self.bill(streamed + seconds) - self.bill(streamed)


class BudgetScope(StrEnum):
    """Scope a budget applies to."""

    SESSION = "session"
    TENANT = "tenant"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Budgets:
    """Most that may be spent, in US dollars; None is no limit. Tenants are counted per day."""

    session: float | None = None
    tenant: float | None = None
    day: float | None = None

    def for_tenant(self, usd_per_day: float | None) -> "Budgets":
        """With a tenant's own budget, where it has one."""
        return self if usd_per_day is None else replace(self, tenant=usd_per_day)


@dataclass(frozen=True, slots=True)
class Spent:
    """What is spent, and reserved for work in flight, in US dollars."""

    session: float = 0.0
    tenant: float = 0.0
    day: float = 0.0

    def exhausted(self, budgets: Budgets) -> BudgetScope | None:
        """The first scope whose budget is used up. One that is not may still pay for one whole utterance or reply."""
        scopes = (
            (BudgetScope.SESSION, self.session, budgets.session),
            (BudgetScope.TENANT, self.tenant, budgets.tenant),
            (BudgetScope.DAY, self.day, budgets.day),
        )
        return next((scope for scope, spent, most in scopes if most is not None and spent >= most), None)

    def plus(self, usd: float) -> "Spent":
        return Spent(self.session + usd, self.tenant + usd, self.day + usd)


@dataclass(frozen=True, slots=True)
class HedgeBudget:
    """Token bucket of hedges: every utterance adds a share of a token, every hedge takes a whole one."""

    per_utterance: float = 0.1
    capacity: float = 10.0
    tokens: float = 10.0

    def refill(self) -> "HedgeBudget":
        """After one more utterance."""
        return replace(self, tokens=min(self.capacity, self.tokens + self.per_utterance))

    def take(self) -> "HedgeBudget | None":
        """After one hedge; None where no token is left."""
        return replace(self, tokens=self.tokens - 1) if self.tokens >= 1 else None
