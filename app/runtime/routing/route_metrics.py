"""Counters per route, for Prometheus."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.decision import DecisionRecord, Expense
from app.runtime.routing.routes import Routes

SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)


@dataclass(slots=True)
class RoutingMetrics:
    """One registry per service, so that two in one process do not mix."""

    routes: Routes
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    finals: Counter = field(init=False)
    asked: Counter = field(init=False)
    usd: Counter = field(init=False)
    hedges: Counter = field(init=False)
    latency: Histogram = field(init=False)

    def __post_init__(self) -> None:
        on = self.registry
        self.finals = Counter("parley_finals", "Finals delivered.", ["route", "place"], registry=on)
        self.asked = Counter("parley_route_asked", "Times a route was asked.", ["route", "outcome"], registry=on)
        self.usd = Counter("parley_route_usd", "US dollars spent.", ["route"], registry=on)
        self.hedges = Counter("parley_hedges", "Finals for which a second route was started.", registry=on)
        self.latency = Histogram(
            "parley_final_seconds",
            "From the end of an utterance to its final.",
            ["route"],
            buckets=SECONDS,
            registry=on,
        )
        on.register(_Standing(self.routes))

    def record(self, record: DecisionRecord) -> None:
        chosen = record.chosen or "draft"
        self.finals.labels(chosen, record.place or "on_prem").inc()
        self.latency.labels(chosen).observe(record.latency_ms / 1000)
        for attempt in record.attempts:
            self.asked.labels(attempt.name, attempt.outcome).inc()
            self.usd.labels(attempt.name).inc(attempt.usd)
        if record.hedged:
            self.hedges.inc()

    def note(self, expense: Expense) -> None:
        self.usd.labels(expense.route).inc(expense.usd)

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)


@dataclass(frozen=True, eq=False, slots=True)
class _Standing:
    """How each route is at the moment of asking."""

    routes: Routes

    def collect(self) -> list[GaugeMetricFamily]:
        waiting = GaugeMetricFamily("parley_route_waiting", "Finals a route is busy with.", labels=["route"])
        resting = GaugeMetricFamily("parley_route_resting", "1 while a route rests.", labels=["route"])
        p95 = GaugeMetricFamily("parley_route_p95_seconds", "Newest p95 of its latency.", labels=["route"])
        now = self.routes.clock.now()
        for name, standing in self.routes.standings.items():
            candidate = standing.candidate(now, None)
            waiting.add_metric([name], candidate.waiting)
            resting.add_metric([name], float(candidate.health is not BreakerState.CLOSED))
            p95.add_metric([name], candidate.p95_ms / 1000)
        return [waiting, resting, p95]
