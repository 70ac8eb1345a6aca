"""What an operator wants of the routing policy: objective, limits, budgets, hedging."""

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
    """When a second route is started beside a slow first."""

    enabled: bool = True
    share: float = 0.1
    """Hedges per utterance, in the long run."""
    burst: float = 10.0
    least_ms: float = 250.0
    """Never earlier, however fast the route usually is."""
    most_ms: float = 3000.0
    """Never later, however slow."""


@dataclass(frozen=True, slots=True)
class CascadeRules:
    """Ask a better route where the first final is doubtful."""

    least_confidence: float = 0.6
    """By the engine's own word, where it gives one."""
    least_agreement: float = 0.5
    """Of the final with the drafts of the same utterance."""


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """What an operator wants."""

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
    """From the end of the utterance to the best text at hand."""
    patience_ms: float = 6000.0
    """From there to the moment a route that has not answered is given up, where there is another."""
    patience_hedges: float = 4.0
    """The same where no hedge runs beside it: so many times the delay of its hedge, if that is sooner."""
    speculate_paid: bool = False
    budgets: Budgets = Budgets()
    hedge: HedgeRules = HedgeRules()
    cascade: CascadeRules | None = None


def may_process(allowed: Residency, place: Place, rules: RoutingRules) -> bool:
    """Whether a voice may go to this place. Nothing else in the service decides this."""
    return place in rules.places and (allowed is Residency.CLOUD_OK or place is Place.ON_PREM)
