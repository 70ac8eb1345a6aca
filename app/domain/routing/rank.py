"""Which engine gets this sentence, and why.

rank() takes what is asked, how every route is doing and the rules, and gives a
decision: the routes to try, in order, and for each other one the reason against
it. It is pure, so a stored decision can be taken again under other rules.

Reasons against a route are checked in a fixed order, privacy first; nothing later
brings back what an earlier one removed. The order of the rest is total: two routes
never tie, because their names do not. It is monotone: a route that gets cheaper or
faster, all else equal, never moves down.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.residency import Place
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import BudgetScope
from app.domain.routing.request import Candidate, RouteRequest
from app.domain.routing.rules import Objective, RoutingRules, may_process


class RejectionReason(StrEnum):
    """Why a route is no candidate."""

    PRIVACY = "privacy"
    PLACE = "place"
    LANGUAGE = "language"
    TOO_LONG = "too_long"
    TOO_POOR = "too_poor"
    SPECULATION = "speculation"
    TOO_DEAR = "too_dear"
    BUDGET = "budget"
    RESTING = "resting"


_WORDS = {
    RejectionReason.PRIVACY: "this session's voice stays on the premises",
    RejectionReason.PLACE: "the rules exclude its place",
    RejectionReason.LANGUAGE: "it does not speak the language",
    RejectionReason.TOO_LONG: "the utterance is longer than it takes",
    RejectionReason.TOO_POOR: "its words are not good enough",
    RejectionReason.SPECULATION: "it costs money, and the utterance may go on",
    RejectionReason.TOO_DEAR: "it costs more than one final may",
    RejectionReason.BUDGET: "a budget is spent",
    RejectionReason.RESTING: "it rests after failures",
}


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """A route that may be tried."""

    name: str
    place: Place
    usd: float
    expected_ms: float
    tail_ms: float
    quality: float
    live: bool
    why: str


@dataclass(frozen=True, slots=True)
class RouteRejection:
    name: str
    against: RejectionReason
    purse: BudgetScope | None = None

    @property
    def why(self) -> str:
        return f"the {self.purse}'s budget is spent" if self.purse else _WORDS[self.against]


@dataclass(frozen=True, slots=True)
class Ranking:
    """One ranking, with its reasons."""

    choices: tuple[RouteChoice, ...]
    """In the order in which they are tried."""
    rejected: tuple[RouteRejection, ...]
    panic: bool = False
    """Every route that could be used rests; these are tried all the same, the least bad first."""

    @property
    def best(self) -> RouteChoice | None:
        return self.choices[0] if self.choices else None


def rank(request: RouteRequest, fleet: tuple[Candidate, ...], rules: RoutingRules) -> Ranking:
    """The routes for this utterance, best first."""
    rejected = []
    able: list[Candidate] = []
    resting: list[Candidate] = []
    budgets = rules.budgets if request.tenant_usd is None else replace(rules.budgets, tenant=request.tenant_usd)
    empty = request.spent.exhausted(budgets)
    for candidate in fleet:
        against = _against(request, candidate, rules, empty)
        if against is not None:
            rejected.append(
                RouteRejection(candidate.name, against, empty if against is RejectionReason.BUDGET else None)
            )
        elif candidate.health is BreakerState.CLOSED:
            able.append(candidate)
        else:
            resting.append(candidate)
    panic = bool(resting) and not able
    if panic:
        ordered = sorted(resting, key=lambda c: (c.badness, _key(request, c, rules)))
    else:
        rejected += [RouteRejection(c.name, RejectionReason.RESTING) for c in resting]
        ordered = sorted(able, key=lambda c: _key(request, c, rules))
    timely = [_in_time(request, c, rules) for c in ordered]
    choices = tuple(
        RouteChoice(
            c.name,
            c.place,
            c.price.marginal(request.seconds, streamed=c.streamed),
            c.expected_ms,
            c.tail_ms,
            c.quality,
            c.live,
            "every route rests; this one is the least bad" if panic else _why(at, timely, ordered, rules),
        )
        for at, c in enumerate(ordered)
    )
    return Ranking(choices, tuple(rejected), panic)


def _against(
    request: RouteRequest, candidate: Candidate, rules: RoutingRules, empty: BudgetScope | None
) -> RejectionReason | None:
    if not may_process(request.allowed, candidate.place, rules):
        return RejectionReason.PLACE if candidate.place not in rules.places else RejectionReason.PRIVACY
    if request.language and candidate.languages and request.language not in candidate.languages:
        return RejectionReason.LANGUAGE
    if candidate.longest_s is not None and request.seconds > candidate.longest_s:
        return RejectionReason.TOO_LONG
    disagrees = candidate.agreement is not None and candidate.agreement < rules.least_agreement
    if candidate.quality < rules.least_quality or disagrees:
        return RejectionReason.TOO_POOR
    if candidate.price.is_free:
        return None
    if request.speculative and not rules.speculate_paid:
        return RejectionReason.SPECULATION
    if (
        rules.most_usd is not None
        and candidate.price.marginal(request.seconds, streamed=candidate.streamed) > rules.most_usd
    ):
        return RejectionReason.TOO_DEAR
    return RejectionReason.BUDGET if empty else None


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
            wish = (*speed, usd, -candidate.quality)
        case Objective.COST:
            wish = (usd, *speed, -candidate.quality)
        case Objective.ACCURACY:
            wish = (-candidate.quality, *speed, usd)
    # One that is late anyway is chosen by how late it is.
    return (late, candidate.tail_ms if late else 0.0, place, *wish, candidate.name)


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
