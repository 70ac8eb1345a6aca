"""Rules of the routing policy: objective, limits, budgets, hedging."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.residency import Place, Residency
from app.domain.routing.cost import Budgets


class Objective(StrEnum):
    LATENCY = "latency"
    COST = "cost"
    ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True)
class HedgeRules:
    """When a hedge is started in parallel to a slow route: at its p95, within these bounds and a token bucket."""

    enabled: bool = True
    share: float = 0.1
    """Hedges per utterance, in the long run."""
    burst: float = 10.0
    """Hedges that may follow each other at once: the capacity of the token bucket."""
    least_ms: float = 250.0
    """Shortest delay of a hedge, however fast the route usually is."""
    most_ms: float = 3000.0
    """Longest delay, however slow."""


@dataclass(frozen=True, slots=True)
class CascadeRules:
    """Ask a better route where the first final is doubtful."""

    least_confidence: float = 0.6
    """As the engine reports it, 0 to 1, where it does."""
    least_agreement: float = 0.5
    """Of the final with the drafts of the same utterance, 0 to 1."""


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """One rules file."""

    name: str = "private-first"
    objective: Objective = Objective.LATENCY
    places: tuple[Place, ...] = (Place.ON_PREM, Place.CLOUD)
    """Places that may be used at all."""
    prefer: tuple[Place, ...] = ()
    """The place that goes before the objective; empty: none."""
    in_time_ms: float | None = None
    """Routes whose p95 is within go before those whose is not."""
    most_usd: float | None = None
    """Most one final may cost."""
    least_quality: float = 0.0
    least_agreement: float = 0.0
    """With the drafts, over the newest finals of a route in a language."""
    deadline_ms: float = 15_000.0
    """From the end of the utterance to the best available text."""
    abandon_after_ms: float = 6000.0
    """From the end of the utterance until a route that has not answered is abandoned, where there is another."""
    abandon_after_hedges: float = 4.0
    """The same where no hedge runs in parallel: so many times the delay of its hedge, if that is sooner."""
    speculate_paid: bool = False
    budgets: Budgets = Budgets()
    hedge: HedgeRules = HedgeRules()
    cascade: CascadeRules | None = None


def may_process(residency: Residency, place: Place, rules: RoutingRules) -> bool:
    """Whether audio may be processed at this place. Nothing else in the service decides this."""
    return place in rules.places and (residency is Residency.CLOUD_OK or place is Place.ON_PREM)
