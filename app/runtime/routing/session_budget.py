"""What one session may still spend on replies and speech, and where that spending is recorded."""

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.errors import BudgetExhausted
from app.domain.routing.cost import BudgetScope
from app.domain.routing.decision import ExpenseKind
from app.domain.spending import TokenUsage, budget_sentence
from app.domain.tenant import Tenant
from app.runtime.routing.ledger import Reservation
from app.runtime.routing.routes import Routes


@dataclass(frozen=True, slots=True)
class SessionBudget:
    """The budgets of the rules and of the tenant, as they apply to one session."""

    routes: Routes
    session: str
    tenant: Tenant
    on_reply: Callable[[str, TokenUsage, float], None] = lambda *_: None
    """Called for each call of a reply engine with its name, its tokens and what they cost."""

    def exhausted(self) -> BudgetScope | None:
        """The first scope whose budget is spent."""
        budgets = self.routes.rules().budgets.for_tenant(self.tenant.budget_usd_per_day)
        return self.routes.ledger.spent(self.session, self.tenant.name).exhausted(budgets)

    def error(self, consequence: str) -> BudgetExhausted | None:
        """The error for the client, where a budget is spent."""
        scope = self.exhausted()
        return BudgetExhausted(budget_sentence(scope, consequence)) if scope else None

    def reserve(self, usd: float) -> Reservation:
        return self.routes.ledger.reserve(self.session, self.tenant.name, usd)

    def record_reply(self, engine: str, usage: TokenUsage, usd: float) -> None:
        """Record one call of a reply engine; its cost is in the ledger already."""
        self.on_reply(engine, usage, usd)
        kind = ExpenseKind.REPLY_ESTIMATE if usage.is_estimate else ExpenseKind.REPLY
        counts = {"prompt_tokens": usage.prompt, "generated_tokens": usage.generated}
        self.routes.expense(engine, kind, usd, self.session, self.tenant.name, **counts)

    def record_speech(self, voice: str, characters: int, usd: float) -> None:
        """Record what a voice spoke of one reply; its cost is in the ledger already."""
        counts = {"characters": characters}
        self.routes.expense(voice, ExpenseKind.SPEECH, usd, self.session, self.tenant.name, **counts)

    def charge_probe(self, engine: str, usd: float) -> None:
        self.routes.charge(engine, ExpenseKind.PROBE, usd, self.session, self.tenant.name)
