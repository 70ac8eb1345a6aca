"""The routes there are, and how each of them is doing."""

from dataclasses import dataclass, replace

from app.domain.residency import Place
from app.domain.routing.circuit_breaker import CircuitBreaker, CircuitBreakerRules
from app.domain.routing.cost import Price
from app.domain.routing.latency import LatencyWindow
from app.domain.routing.load import EngineLoad
from app.domain.routing.request import Candidate
from app.domain.routing.route import Route

LEAST_AGREEMENTS = 8
"""Finals of a language that must be known before their agreement with the drafts says anything."""


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """What an operator says about a route."""

    name: str
    place: Place
    price: Price = Price()
    languages: tuple[str, ...] = ()
    """Empty: every language."""
    longest_s: float | None = None
    at_once: int | None = None
    quality: float = 0.5
    live: bool = False
    """It takes the audio while the person speaks."""
    expected_ms: float = 1000.0
    """Its latency before one was measured."""
    breaker: CircuitBreakerRules = CircuitBreakerRules()

    @property
    def route(self) -> Route:
        return Route(self.name, self.place)


@dataclass(frozen=True, slots=True)
class RouteState:
    """A route as its newest calls left it."""

    profile: RouteSpec
    breaker: CircuitBreaker = CircuitBreaker()
    latencies: LatencyWindow = LatencyWindow()
    agreements: tuple[tuple[str, LatencyWindow], ...] = ()
    """For each language, how far its newest finals agree with the drafts."""
    waiting: int = 0
    """Finals it is busy with for this process."""
    load: EngineLoad | None = None
    others: int = 0
    """Finals it was busy with for others when it was last asked."""

    def candidate(self, now: float, language: str | None) -> Candidate:
        """The route as the policy sees it."""
        profile, load = self.profile, self.load
        p50_ms = self.latencies.percentile(0.5) or (load and load.p50_ms)
        p95_ms = self.latencies.percentile(0.95) or (load and load.p95_ms)
        return Candidate(
            profile.name,
            profile.place,
            profile.price,
            self.breaker.health(now),
            self.breaker.badness,
            p50_ms or profile.expected_ms,
            p95_ms or 2 * profile.expected_ms,
            self.waiting + self.others,
            profile.at_once or (load.at_once if load else None),
            profile.languages,
            profile.longest_s,
            profile.quality,
            self.agreement(language),
            live=profile.live,
        )

    def agreement(self, language: str | None) -> float | None:
        """Mean agreement of its finals with the drafts; None where too few are known."""
        known = dict(self.agreements).get(language or "")
        if known is None or len(known.newest) < LEAST_AGREEMENTS:
            return None
        return sum(known.newest) / len(known.newest)

    def began(self) -> "RouteState":
        return replace(self, waiting=self.waiting + 1)

    def ended(self) -> "RouteState":
        return replace(self, waiting=self.waiting - 1)

    def answered(self, ms: float, now: float, chance: float, *, probe: bool = False) -> "RouteState":
        """A final came, so long after the audio ended."""
        breaker = self.breaker.well(ms, now=now, chance=chance, probe=probe)
        return replace(self, latencies=self.latencies.hear(ms), breaker=breaker)

    def failed(self, now: float, chance: float, *, probe: bool = False) -> "RouteState":
        return replace(self, breaker=self.breaker.ill(now, chance, probe=probe))

    def loaded(self, load: EngineLoad | None, ours: int) -> "RouteState":
        """It said how busy it is, while so many of its finals were ours; or it does not say any longer."""
        return replace(self, load=load, others=max(0, load.queue - ours) if load else 0)

    def agreed(self, language: str | None, share: float) -> "RouteState":
        """A final was compared with the drafts of its utterance."""
        known = dict(self.agreements)
        known[language or ""] = known.get(language or "", LatencyWindow()).hear(share)
        return replace(self, agreements=tuple(known.items()))


def initial_state(profile: RouteSpec) -> RouteState:
    """A route nobody has used yet."""
    return RouteState(profile, CircuitBreaker(profile.breaker))
