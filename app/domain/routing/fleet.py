"""Configured routes and their runtime state: breaker, latencies, work in flight."""

from dataclasses import dataclass, replace

from app.domain.residency import Place
from app.domain.routing.circuit_breaker import CircuitBreaker, CircuitBreakerRules
from app.domain.routing.cost import Price
from app.domain.routing.latency import LatencyWindow
from app.domain.routing.load import EngineLoad
from app.domain.routing.request import Candidate
from app.domain.routing.route import Route

MIN_AGREEMENTS = 8
"""Finals of a language that must be known before their agreement with the drafts counts."""


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """What an operator says about a route; the fields are those of `Candidate`."""

    name: str
    place: Place
    price: Price = Price()
    languages: tuple[str, ...] = ()
    longest_s: float | None = None
    at_once: int | None = None
    quality: float = 0.5
    live: bool = False
    expected_ms: float = 1000.0
    """Its latency before one was measured."""
    breaker: CircuitBreakerRules = CircuitBreakerRules()

    @property
    def route(self) -> Route:
        return Route(self.name, self.place)


@dataclass(frozen=True, slots=True)
class RouteState:
    """Runtime state of a route; each method gives the next state."""

    spec: RouteSpec
    breaker: CircuitBreaker = CircuitBreaker()
    latencies: LatencyWindow = LatencyWindow()
    agreements: tuple[tuple[str, LatencyWindow], ...] = ()
    """For each language, how far its newest finals agree with the drafts, 0 to 1."""
    in_flight: int = 0
    """Finals it is working on for this process."""
    load: EngineLoad | None = None
    """What it reported last; None where it reports nothing."""
    in_flight_elsewhere: int = 0
    """Finals it was working on for others by that report."""

    def candidate(self, now: float, language: str | None) -> Candidate:
        """The route as an input of the ranking."""
        spec, load = self.spec, self.load
        p50_ms = self.latencies.percentile(0.5) or (load and load.p50_ms)
        p95_ms = self.latencies.percentile(0.95) or (load and load.p95_ms)
        return Candidate(
            spec.name,
            spec.place,
            spec.price,
            self.breaker.state(now),
            self.breaker.failure_rate,
            p50_ms or spec.expected_ms,
            p95_ms or 2 * spec.expected_ms,
            self.in_flight + self.in_flight_elsewhere,
            spec.at_once or (load.at_once if load else None),
            spec.languages,
            spec.longest_s,
            spec.quality,
            self.agreement(language),
            live=spec.live,
        )

    def agreement(self, language: str | None) -> float | None:
        """Mean agreement of its finals with the drafts, 0 to 1; None where too few are known."""
        known = dict(self.agreements).get(language or "")
        if known is None or len(known.newest) < MIN_AGREEMENTS:
            return None
        return sum(known.newest) / len(known.newest)

    def started(self) -> "RouteState":
        return replace(self, in_flight=self.in_flight + 1)

    def ended(self) -> "RouteState":
        return replace(self, in_flight=self.in_flight - 1)

    def answered(self, ms: float, now: float, chance: float, *, probe: bool = False) -> "RouteState":
        """After a final that came `ms` after the end of the audio."""
        breaker = self.breaker.record_success(ms, now=now, chance=chance, probe=probe)
        return replace(self, latencies=self.latencies.observe(ms), breaker=breaker)

    def failed(self, now: float, chance: float, *, probe: bool = False) -> "RouteState":
        return replace(self, breaker=self.breaker.record_failure(now, chance, probe=probe))

    def refused_probe(self) -> "RouteState":
        """After a probe whose request it does not serve, such as its language: it works, at an unknown latency."""
        return replace(self, breaker=self.breaker.record_success(probe=True))

    def load_reported(self, load: EngineLoad | None, ours: int) -> "RouteState":
        """After a report, while so many of its finals were this process's; None: it reports nothing any longer."""
        return replace(self, load=load, in_flight_elsewhere=max(0, load.queue - ours) if load else 0)

    def agreement_observed(self, language: str | None, share: float) -> "RouteState":
        """After a final was compared with the drafts of its utterance."""
        known = dict(self.agreements)
        known[language or ""] = known.get(language or "", LatencyWindow()).observe(share)
        return replace(self, agreements=tuple(known.items()))


def initial_state(spec: RouteSpec) -> RouteState:
    """A route that has not been used yet."""
    return RouteState(spec, CircuitBreaker(spec.breaker))
