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

from app.domain.cost import Budgets, Price, Purse, Spent
from app.domain.health import Health
from app.domain.route import Place


class Allowed(StrEnum):
    """Where a session's voice may go."""

    ON_PREM_ONLY = "on_prem_only"
    CLOUD_OK = "cloud_ok"


class Objective(StrEnum):
    LATENCY = "latency"
    COST = "cost"
    ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True)
class Request:
    """One utterance that wants a final."""

    seconds: float
    """Audio so far."""
    language: str | None = None
    allowed: Allowed = Allowed.CLOUD_OK
    spent: Spent = Spent()
    deadline_ms: float | None = None
    """A wish of the session; the rules have their own."""
    speculative: bool = False
    """It may still be thrown away, so it may cost nothing."""
    tenant_usd: float | None = None
    """What this tenant may spend in a day; None: what the rules say of all."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route as it is at this moment."""

    name: str
    place: Place
    price: Price = Price()
    health: Health = Health.CLOSED
    badness: float = 0.0
    """Share of its newest calls that failed or were slow."""
    p50_ms: float = 1000.0
    p95_ms: float = 2000.0
    waiting: int = 0
    """Finals it is busy with."""
    at_once: int | None = None
    """Finals it works on at once; None where that is its own business."""
    languages: tuple[str, ...] = ()
    """Empty: every language."""
    longest_s: float | None = None
    quality: float = 0.5
    """How good its words are, 0 to 1, as the operator has it."""
    agreement: float | None = None
    """How far its finals agree with the drafts, 0 to 1; None where too few are known."""
    streamed: float = 0.0
    """Seconds its open stream has carried, where it keeps one."""
    live: bool = False

    @property
    def expected_ms(self) -> float:
        return self.p50_ms * self._queue

    @property
    def tail_ms(self) -> float:
        return self.p95_ms * self._queue

    @property
    def _queue(self) -> float:
        """How many times the work of one final must be waited for."""
        return 1.0 if self.at_once is None else 1.0 + self.waiting // self.at_once


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
class Rules:
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


class Against(StrEnum):
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
    Against.PRIVACY: "this session's voice stays on the premises",
    Against.PLACE: "the rules exclude its place",
    Against.LANGUAGE: "it does not speak the language",
    Against.TOO_LONG: "the utterance is longer than it takes",
    Against.TOO_POOR: "its words are not good enough",
    Against.SPECULATION: "it costs money, and the utterance may go on",
    Against.TOO_DEAR: "it costs more than one final may",
    Against.BUDGET: "a budget is spent",
    Against.RESTING: "it rests after failures",
}


@dataclass(frozen=True, slots=True)
class Choice:
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
class Rejection:
    name: str
    against: Against
    purse: Purse | None = None

    @property
    def why(self) -> str:
        return f"the {self.purse}'s budget is spent" if self.purse else _WORDS[self.against]


@dataclass(frozen=True, slots=True)
class Decision:
    """One ranking, with its reasons."""

    choices: tuple[Choice, ...]
    """In the order in which they are tried."""
    rejected: tuple[Rejection, ...]
    panic: bool = False
    """Every route that could be used rests; these are tried all the same, the least bad first."""

    @property
    def best(self) -> Choice | None:
        return self.choices[0] if self.choices else None


def rank(request: Request, fleet: tuple[Candidate, ...], rules: Rules) -> Decision:
    """The routes for this utterance, best first."""
    rejected = []
    able: list[Candidate] = []
    resting: list[Candidate] = []
    budgets = rules.budgets if request.tenant_usd is None else replace(rules.budgets, tenant=request.tenant_usd)
    empty = request.spent.exhausted(budgets)
    for candidate in fleet:
        against = _against(request, candidate, rules, empty)
        if against is not None:
            rejected.append(Rejection(candidate.name, against, empty if against is Against.BUDGET else None))
        elif candidate.health is Health.CLOSED:
            able.append(candidate)
        else:
            resting.append(candidate)
    panic = bool(resting) and not able
    if panic:
        ordered = sorted(resting, key=lambda c: (c.badness, _key(request, c, rules)))
    else:
        rejected += [Rejection(c.name, Against.RESTING) for c in resting]
        ordered = sorted(able, key=lambda c: _key(request, c, rules))
    timely = [_in_time(request, c, rules) for c in ordered]
    choices = tuple(
        Choice(
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
    return Decision(choices, tuple(rejected), panic)


def may_hear(allowed: Allowed, place: Place, rules: Rules) -> bool:
    """Whether a voice may go to this place. Nothing else in the service decides this."""
    return place in rules.places and (allowed is Allowed.CLOUD_OK or place is Place.ON_PREM)


def _against(request: Request, candidate: Candidate, rules: Rules, empty: Purse | None) -> Against | None:
    if not may_hear(request.allowed, candidate.place, rules):
        return Against.PLACE if candidate.place not in rules.places else Against.PRIVACY
    if request.language and candidate.languages and request.language not in candidate.languages:
        return Against.LANGUAGE
    if candidate.longest_s is not None and request.seconds > candidate.longest_s:
        return Against.TOO_LONG
    disagrees = candidate.agreement is not None and candidate.agreement < rules.least_agreement
    if candidate.quality < rules.least_quality or disagrees:
        return Against.TOO_POOR
    if candidate.price.is_free:
        return None
    if request.speculative and not rules.speculate_paid:
        return Against.SPECULATION
    if (
        rules.most_usd is not None
        and candidate.price.marginal(request.seconds, streamed=candidate.streamed) > rules.most_usd
    ):
        return Against.TOO_DEAR
    return Against.BUDGET if empty else None


def _in_time(request: Request, candidate: Candidate, rules: Rules) -> bool:
    if rules.in_time_ms is not None and candidate.tail_ms > rules.in_time_ms:
        return False
    return request.deadline_ms is None or candidate.tail_ms <= request.deadline_ms


def _key(request: Request, candidate: Candidate, rules: Rules) -> tuple[float | str, ...]:
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


def _why(position: int, timely: list[bool], ordered: list[Candidate], rules: Rules) -> str:
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
