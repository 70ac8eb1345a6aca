"""Prometheus metrics of the routes and of spending: finals, attempts, dollars, hedges, latency, load, breakers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import BudgetScope
from app.domain.routing.decision import DecisionRecord, Expense, ExpenseKind
from app.domain.spending import remaining
from app.runtime.metrics import LATENCY_BUCKETS_S
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.routing.routes import Routes

_NOT_OF_ROUTES = (ExpenseKind.REPLY, ExpenseKind.REPLY_ESTIMATE, ExpenseKind.SPEECH)
"""Expenses whose `route` is a provider of replies or speech."""


@dataclass(slots=True)
class RoutingMetrics:
    """Registered in the service's one registry."""

    routes: Routes
    registry: CollectorRegistry
    dropped: Callable[[], int] = lambda: 0
    """Decisions and expenses that could not be stored so far."""
    spend_age_s: Callable[[], float | None] = lambda: None
    """Seconds since the spending of other processes was read; None where it never was."""
    finals: Counter = field(init=False)
    asked: Counter = field(init=False)
    usd: Counter = field(init=False)
    spend: Counter = field(init=False)
    tokens: Counter = field(init=False)
    characters: Counter = field(init=False)
    hedges: Counter = field(init=False)
    latency: Histogram = field(init=False)

    def __post_init__(self) -> None:
        on = self.registry
        self.finals = Counter("parley_finals", "Finals delivered.", ["route", "place"], registry=on)
        self.asked = Counter("parley_route_asked", "Times a route was asked.", ["route", "outcome"], registry=on)
        self.usd = Counter("parley_route_usd", "US dollars spent.", ["route"], registry=on)
        self.spend = Counter(
            "parley_spend_usd",
            "US dollars spent by this process, by what they bought and who charges them.",
            ["kind", "route"],
            registry=on,
        )
        self.tokens = Counter(
            "parley_reply_tokens", "Tokens of replies, thinking included.", ["route", "direction"], registry=on
        )
        self.characters = Counter("parley_speech_characters", "Characters spoken.", ["route"], registry=on)
        self.hedges = Counter("parley_hedges", "Finals for which a second route was started.", registry=on)
        self.latency = Histogram(
            "parley_final_seconds",
            "From the end of an utterance to its final.",
            ["route"],
            buckets=LATENCY_BUCKETS_S,
            registry=on,
        )
        on.register(_RouteGauges(self.routes))
        on.register(_DroppedRows(self.dropped))
        on.register(_BudgetGauges(self.routes, self.spend_age_s))

    def record_decision(self, record: DecisionRecord) -> None:
        chosen = record.chosen or "draft"
        self.finals.labels(chosen, record.place or "on_prem").inc()
        if record.chosen:  # a draft that is shown as the final has no latency
            self.latency.labels(record.chosen).observe(record.latency_ms / 1000)
        for attempt in record.attempts:
            self.asked.labels(attempt.name, attempt.outcome).inc()
            self.usd.labels(attempt.name).inc(attempt.usd)
            self.spend.labels("final", attempt.name).inc(attempt.usd)
        if record.hedged:
            self.hedges.inc()

    def record_expense(self, expense: Expense) -> None:
        self.spend.labels(expense.kind, expense.route).inc(expense.usd)
        if expense.kind in (ExpenseKind.REPLY, ExpenseKind.REPLY_ESTIMATE):
            self.tokens.labels(expense.route, "prompt").inc(expense.prompt_tokens)
            self.tokens.labels(expense.route, "generated").inc(expense.generated_tokens)
        if expense.kind is ExpenseKind.SPEECH:
            self.characters.labels(expense.route).inc(expense.characters)
        if expense.kind not in _NOT_OF_ROUTES:
            self.usd.labels(expense.route).inc(expense.usd)


@dataclass(frozen=True, eq=False, slots=True)
class _RouteGauges:
    """State of each route at the time of the scrape."""

    routes: Routes

    def collect(self) -> list[GaugeMetricFamily]:
        in_flight = GaugeMetricFamily("parley_route_waiting", "Finals a route is working on.", labels=["route"])
        tripped = GaugeMetricFamily(
            "parley_route_resting", "1 while a route's circuit breaker is open or half-open.", labels=["route"]
        )
        p95 = GaugeMetricFamily("parley_route_p95_seconds", "Newest p95 of its latency.", labels=["route"])
        now = self.routes.clock.now()
        for name, state in self.routes.states.items():
            candidate = state.candidate(now, None)
            in_flight.add_metric([name], candidate.in_flight)
            tripped.add_metric([name], float(candidate.breaker_state is not BreakerState.CLOSED))
            p95.add_metric([name], candidate.p95_ms / 1000)
        return [in_flight, tripped, p95]


@dataclass(frozen=True, eq=False, slots=True)
class EngineGauges:
    """Breakers of the reply engines, or of the voices, at the time of the scrape."""

    metric: str
    documentation: str
    health: EngineHealth

    def collect(self) -> list[GaugeMetricFamily]:
        tripped = GaugeMetricFamily(self.metric, self.documentation, labels=["engine"])
        for name in self.health.names:
            tripped.add_metric([name], float(self.health.state(name) is not BreakerState.CLOSED))
        return [tripped]


@dataclass(frozen=True, eq=False, slots=True)
class _BudgetGauges:
    """The day's spending and its budget. Those of the tenants are in `/policy/summary`."""

    routes: Routes
    age_s: Callable[[], float | None]

    def collect(self) -> list[GaugeMetricFamily]:
        usd = self.routes.ledger.spent("", "").day
        left, age_s = remaining(usd, self.routes.rules().budgets.day), self.age_s()
        spent = GaugeMetricFamily(
            "parley_spend_today_usd", "US dollars that all processes spent and reserved today (UTC).", usd
        )
        budget = GaugeMetricFamily("parley_budget_remaining_usd", "US dollars left of a budget.", labels=["scope"])
        if left is not None:
            budget.add_metric([BudgetScope.DAY], left)
        age = GaugeMetricFamily(
            "parley_spend_sync_age_seconds", "Seconds since the spending of other processes was read.", labels=[]
        )
        if age_s is not None:
            age.add_metric([], age_s)
        return [spent, budget, age]


@dataclass(frozen=True, eq=False, slots=True)
class _DroppedRows:
    """What the decision log could not store."""

    dropped: Callable[[], int]

    def collect(self) -> list[CounterMetricFamily]:
        rows = CounterMetricFamily("parley_decisions_dropped", "Decisions and expenses that could not be stored.")
        rows.add_metric([], self.dropped())
        return [rows]
