"""Ranks the routes for one utterance: which may be tried, in which order, and why the others may not.

rank() is pure, so a stored decision can be replayed under other rules. Reasons against a route are checked in
a fixed order, residency first; nothing later brings back what an earlier one removed. The order of the rest is
total: two routes never tie, because their names do not. It is monotone: a route that gets cheaper or faster, all
else equal, never moves down.
"""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.language import allowed_languages
from app.domain.residency import Place
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import BudgetScope
from app.domain.routing.request import Candidate, RouteRequest
from app.domain.routing.rules import Objective, RoutingRules, may_process


class RejectionReason(StrEnum):
    """Why a route is no candidate."""

    RESIDENCY = "residency"
    PLACE = "place"
    LANGUAGE = "language"
    TOO_LONG = "too_long"
    TOO_INACCURATE = "too_inaccurate"
    SPECULATION = "speculation"
    TOO_EXPENSIVE = "too_expensive"
    BUDGET = "budget"
    BREAKER_OPEN = "breaker_open"


_SENTENCES = {
    RejectionReason.RESIDENCY: "this session's voice stays on the premises",
    RejectionReason.PLACE: "the rules exclude its place",
    RejectionReason.LANGUAGE: "it does not support the language",
    RejectionReason.TOO_LONG: "the utterance is longer than it takes",
    RejectionReason.TOO_INACCURATE: "its quality or agreement is below the rules' minimum",
    RejectionReason.SPECULATION: "it costs money, and the utterance may continue",
    RejectionReason.TOO_EXPENSIVE: "it costs more than one final may",
    RejectionReason.BUDGET: "a budget is spent",
    RejectionReason.BREAKER_OPEN: "its circuit breaker is open",
}


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """A route that may be tried."""

    name: str
    place: Place
    usd: float
    """What this final adds to its bill."""
    expected_ms: float
    tail_ms: float
    quality: float
    live: bool
    why: str
    """One sentence for people."""


@dataclass(frozen=True, slots=True)
class RouteRejection:
    name: str
    reason: RejectionReason
    scope: BudgetScope | None = None
    """Whose budget is used up."""

    @property
    def why(self) -> str:
        """One sentence for people."""
        return f"the {self.scope}'s budget is spent" if self.scope else _SENTENCES[self.reason]


@dataclass(frozen=True, slots=True)
class Ranking:
    """One ranking, with its reasons."""

    choices: tuple[RouteChoice, ...]
    """In the order in which they are tried."""
    rejected: tuple[RouteRejection, ...]
    panic: bool = False
    """The breaker of every usable route is open; they are tried all the same, lowest failure rate first."""
    last_resort: tuple[RouteChoice, ...] = ()
    """Usable routes whose breakers are open, lowest failure rate first: for when the choices do not answer."""

    @property
    def best(self) -> RouteChoice | None:
        return self.choices[0] if self.choices else None


def rank(request: RouteRequest, fleet: tuple[Candidate, ...], rules: RoutingRules) -> Ranking:
    """The routes for this utterance, best first."""
    rejected = []
    closed: list[Candidate] = []
    tripped: list[Candidate] = []
    used_up = request.spent.exhausted(rules.budgets.for_tenant(request.tenant_usd))
    for candidate in fleet:
        reason = _rejection(request, candidate, rules, used_up)
        if reason is not None:
            rejected.append(
                RouteRejection(candidate.name, reason, used_up if reason is RejectionReason.BUDGET else None)
            )
        elif candidate.breaker_state is BreakerState.CLOSED:
            closed.append(candidate)
        else:
            tripped.append(candidate)
    least_failing = sorted(tripped, key=lambda c: (c.failure_rate, _key(request, c, rules)))
    if tripped and not closed:
        why = "every circuit breaker is open; this route fails least"
        return Ranking(tuple(_choice(request, c, why) for c in least_failing), tuple(rejected), panic=True)
    rejected += [RouteRejection(c.name, RejectionReason.BREAKER_OPEN) for c in tripped]
    ordered = sorted(closed, key=lambda c: _key(request, c, rules))
    timely = [_in_time(request, c, rules) for c in ordered]
    return Ranking(
        tuple(_choice(request, c, _why(at, timely, ordered, rules)) for at, c in enumerate(ordered)),
        tuple(rejected),
        last_resort=tuple(
            _choice(request, c, "its circuit breaker is open, but no other route answers") for c in least_failing
        ),
    )


def _choice(request: RouteRequest, candidate: Candidate, why: str) -> RouteChoice:
    return RouteChoice(
        candidate.name,
        candidate.place,
        candidate.price.marginal(request.seconds, streamed=candidate.streamed),
        candidate.expected_ms,
        candidate.tail_ms,
        candidate.quality,
        candidate.live,
        why,
    )


def _rejection(
    request: RouteRequest, candidate: Candidate, rules: RoutingRules, used_up: BudgetScope | None
) -> RejectionReason | None:
    if not may_process(request.residency, candidate.place, rules):
        return RejectionReason.PLACE if candidate.place not in rules.places else RejectionReason.RESIDENCY
    if candidate.languages and not set(allowed_languages(request.language)) <= set(candidate.languages):
        return RejectionReason.LANGUAGE
    if candidate.longest_s is not None and request.seconds > candidate.longest_s:
        return RejectionReason.TOO_LONG
    disagrees = candidate.agreement is not None and candidate.agreement < rules.least_agreement
    if candidate.quality < rules.least_quality or disagrees:
        return RejectionReason.TOO_INACCURATE
    if candidate.price.is_free:
        return None
    if request.speculative and not rules.speculate_paid:
        return RejectionReason.SPECULATION
    if (
        rules.most_usd is not None
        and candidate.price.marginal(request.seconds, streamed=candidate.streamed) > rules.most_usd
    ):
        return RejectionReason.TOO_EXPENSIVE
    return RejectionReason.BUDGET if used_up else None


def _in_time(request: RouteRequest, candidate: Candidate, rules: RoutingRules) -> bool:
    if rules.in_time_ms is not None and candidate.tail_ms > rules.in_time_ms:
        return False
    return request.deadline_ms is None or candidate.tail_ms <= request.deadline_ms


def _key(request: RouteRequest, candidate: Candidate, rules: RoutingRules) -> tuple[float | str, ...]:
    """Smaller is better. Every part grows, or stays, with price and with latency."""
    usd = candidate.price.marginal(request.seconds, streamed=candidate.streamed)
    late = not _in_time(request, candidate, rules)
    place = rules.prefer.index(candidate.place) if candidate.place in rules.prefer else len(rules.prefer)
    speed = (candidate.expected_ms, candidate.tail_ms)
    match rules.objective:
        case Objective.LATENCY:
            objective = (*speed, usd, -candidate.quality)
        case Objective.COST:
            objective = (usd, *speed, -candidate.quality)
        case Objective.ACCURACY:
            objective = (-candidate.quality, *speed, usd)
    # One that is late anyway is chosen by how late it is.
    return (late, candidate.tail_ms if late else 0.0, place, *objective, candidate.name)


def _why(position: int, timely: list[bool], ordered: list[Candidate], rules: RoutingRules) -> str:
    """One sentence for people: what set this candidate apart from those behind it."""
    candidate = ordered[position]
    if len(ordered) == 1:
        return "the only route left"
    if not timely[position]:
        return "late, but no route is in time before it"
    if sum(timely) == 1:
        return "the only route in time"
    if candidate.place in rules.prefer[:1] and any(c.place != candidate.place for c in ordered):
        return "on the premises is preferred" if candidate.place is Place.ON_PREM else "the cloud is preferred"
    return _FIRST[rules.objective] if position == 0 else f"next {_FIRST[rules.objective]}"


_FIRST = {Objective.LATENCY: "fastest", Objective.COST: "cheapest", Objective.ACCURACY: "most accurate"}
