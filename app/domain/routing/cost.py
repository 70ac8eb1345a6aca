"""What finals cost, and how much may be spent."""

from dataclasses import dataclass, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Price:
    """What a route takes for audio, in US dollars."""

    usd_per_minute: float = 0.0
    minimum_s: float = 0.0
    """Least seconds billed for one request or stream."""

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
    """Whose money is counted."""

    SESSION = "session"
    TENANT = "tenant"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Budgets:
    """Most that may be spent, in US dollars; None is no limit. Tenants are counted per day."""

    session: float | None = None
    tenant: float | None = None
    day: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What is spent or promised to finals on their way, in US dollars."""

    session: float = 0.0
    tenant: float = 0.0
    day: float = 0.0

    def exhausted(self, budgets: Budgets) -> BudgetScope | None:
        """The first purse that is empty. One that is not may still pay for one whole utterance."""
        purses = (
            (BudgetScope.SESSION, self.session, budgets.session),
            (BudgetScope.TENANT, self.tenant, budgets.tenant),
            (BudgetScope.DAY, self.day, budgets.day),
        )
        return next((purse for purse, spent, most in purses if most is not None and spent >= most), None)

    def plus(self, usd: float) -> "Spent":
        return Spent(self.session + usd, self.tenant + usd, self.day + usd)


@dataclass(frozen=True, slots=True)
class HedgeBudget:
    """A budget of hedges: every utterance earns a share of one, every hedge takes a whole one."""

    share: float = 0.1
    most: float = 10.0
    left: float = 10.0

    def earn(self) -> "HedgeBudget":
        return replace(self, left=min(self.most, self.left + self.share))

    def take(self) -> "HedgeBudget | None":
        """After one hedge; None where there is none left."""
        return replace(self, left=self.left - 1) if self.left >= 1 else None
