"""Reply engines and voices in an order, as the service opens them, under a session's budget."""

from collections.abc import Sequence

from app.domain.routing.circuit_breaker import CircuitBreakerRules
from app.domain.routing.cost import Budgets
from app.domain.routing.decision import Expense
from app.domain.routing.rules import RoutingRules
from app.domain.tenant import Tenant
from app.runtime.clock import SystemClock
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.routing.reply_failover import FailoverReplies, ReplyEngine, ReplyPool
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.routing.speech_failover import FailoverSpeech, Voice, VoicePool
from tests.routes import LOCAL, scripted_routes

NO_RULES = CircuitBreakerRules()


def health_of(engines: Sequence[ReplyEngine | Voice], rules: CircuitBreakerRules = NO_RULES) -> EngineHealth:
    return EngineHealth([each.name for each in engines], SystemClock(), lambda: 0.0, rules)


class Wallet:
    """A session's budget over scripted routes, and the expenses it recorded."""

    def __init__(self, usd: float | None = None) -> None:
        self.expenses: list[Expense] = []
        self.routes = scripted_routes(LOCAL, rules=RoutingRules(budgets=Budgets(day=usd))).routes
        self.routes.record_expense = self.expenses.append
        self.budget = SessionBudget(self.routes, "s", Tenant("t"))

    @property
    def spent(self) -> float:
        return self.routes.ledger.spent("s", "t").day

    @property
    def booked(self) -> list[tuple[str, str, float, str, str]]:
        return [(e.route, e.kind, e.usd, e.session, e.tenant) for e in self.expenses]

    def replies(self, *engines: ReplyEngine, health: EngineHealth | None = None) -> FailoverReplies:
        return FailoverReplies(ReplyPool(engines, health or health_of(engines)), self.budget)

    def speech(self, *voices: Voice, health: EngineHealth | None = None, timeout_s: float = 5.0) -> FailoverSpeech:
        return FailoverSpeech(VoicePool(voices, health or health_of(voices), timeout_s), self.budget)
