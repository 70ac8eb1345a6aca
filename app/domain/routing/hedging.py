"""Which of the routes that try brings the final.

One function, advance(), takes the race and what happened and gives the next race and
what to do about it: start a route, stop one, wait, deliver, give up. It knows no time
but the delays it asks for, so that a test or a simulation can play it in no time.

The first final that can be believed wins. A final is doubted where it is empty though
the drafts had words, or where the rules ask a better route for a second opinion; it is
held, and delivered after all when nobody has a better one.
"""

from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TypeAlias, assert_never

from app.domain.errors import ParleyError, ProviderBusy, ProviderDown, ProviderError
from app.domain.residency import Residency
from app.domain.routing.rank import RouteChoice
from app.domain.routing.rules import RoutingRules, may_process
from app.domain.transcript import Hypothesis, agreement

# -- what happened ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EndpointConfirmed:
    """The utterance is over: its final is awaited. These are its routes now, those already tried included."""

    choices: tuple[RouteChoice, ...]


@dataclass(frozen=True, slots=True)
class AttemptAnswered:
    name: str
    final: Hypothesis
    draft: str = ""
    """What the drafts of the utterance came to."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    name: str
    error: ParleyError


@dataclass(frozen=True, slots=True)
class HedgeDue:
    """This route has taken as long as it usually does."""

    name: str
    token: bool
    """A hedge is within its budget; it is taken if the race orders one."""


@dataclass(frozen=True, slots=True)
class TimeoutDue:
    """This route has taken longer than anyone waits."""

    name: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The pause after all routes had failed is over. These are its routes now."""

    choices: tuple[RouteChoice, ...]


@dataclass(frozen=True, slots=True)
class DeadlineDue:
    pass


@dataclass(frozen=True, slots=True)
class ResidencyRestricted:
    """The session's voice stays on the premises from now on."""


HedgingEvent: TypeAlias = (
    EndpointConfirmed
    | AttemptAnswered
    | AttemptFailed
    | HedgeDue
    | TimeoutDue
    | RetryDue
    | DeadlineDue
    | ResidencyRestricted
)

# -- what to do ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartAttempt:
    choice: RouteChoice
    hedge: bool = False
    """Beside another that still runs: it takes a token."""


@dataclass(frozen=True, slots=True)
class StopAttempt:
    name: str


@dataclass(frozen=True, slots=True)
class RecordFailure:
    """It answered, or not, in a way that its breaker should know of."""

    name: str


@dataclass(frozen=True, slots=True)
class ScheduleTimer:
    ms: float
    event: "type[HedgeDue | TimeoutDue | RetryDue | DeadlineDue]"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Deliver:
    choice: RouteChoice
    final: Hypothesis
    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    error: ParleyError


HedgingOrder: TypeAlias = StartAttempt | StopAttempt | RecordFailure | ScheduleTimer | Deliver | GiveUp
Transition: TypeAlias = "tuple[FinalizationState, tuple[HedgingOrder, ...]]"


@dataclass(frozen=True, slots=True)
class FinalizationState:
    rules: RoutingRules
    waiting: tuple[RouteChoice, ...] = ()
    """Not tried yet, best first."""
    running: tuple[RouteChoice, ...] = ()
    """Oldest first."""
    spent: tuple[str, ...] = ()
    """Tried, and done with."""
    refused: tuple[str, ...] = ()
    """Of those, the ones that will refuse again."""
    speculative: bool = False
    confirmed: bool = False
    allowed: Residency = Residency.CLOUD_OK
    wish_ms: float | None = None
    """The session's own deadline; it may be sooner than the one of the rules, never later."""
    held: tuple[RouteChoice, Hypothesis] | None = None
    """A doubted final."""
    asked: bool = False
    """Another route was asked because of it."""
    error: ParleyError | None = None
    """The newest failure."""
    rounds: int = 0
    hedged: bool = False
    failed_over: tuple[str, ...] = ()
    """Names of the routes that failed, in order."""
    over: bool = False

    @property
    def is_hurried(self) -> bool:
        """Whether the session waits for less time than the rules have it."""
        return self.wish_ms is not None and self.wish_ms < self.rules.deadline_ms

    @property
    def deadline_ms(self) -> float:
        return self.rules.deadline_ms if self.wish_ms is None else min(self.wish_ms, self.rules.deadline_ms)


def begin(
    choices: tuple[RouteChoice, ...],
    rules: RoutingRules,
    *,
    speculative: bool,
    allowed: Residency,
    wish_ms: float | None = None,
) -> Transition:
    """The first route starts."""
    race = FinalizationState(rules, choices, speculative=speculative, allowed=allowed, wish_ms=wish_ms)
    return _next(race)


def transition(race: FinalizationState, event: HedgingEvent) -> Transition:
    """The race after one more event, and what to do about it."""
    if race.over:
        return race, ()
    match event:
        case EndpointConfirmed(choices):
            return _confirm(race, choices)
        case AttemptAnswered():
            return _take(race, event)
        case AttemptFailed(name, error):
            return _fail(race, name, error)
        case HedgeDue(name, token):
            return _hedge(race, name, token=token)
        case TimeoutDue(name):
            return _abandon(race, name)
        case RetryDue(choices):
            return _again(race, choices)
        case DeadlineDue():
            return _give_up(race, ProviderDown("finals", "no route answered in time"))
        case ResidencyRestricted():
            return _restrict(race)
        case _:
            assert_never(event)


def hedge_after_ms(choice: RouteChoice, rules: RoutingRules) -> float:
    """How long a route may take before another is started beside it."""
    return min(rules.hedge.most_ms, max(rules.hedge.least_ms, choice.tail_ms))


def give_up_after_ms(choice: RouteChoice, rules: RoutingRules) -> float:
    """How long a route may take that no other is started beside, while there is another to turn to."""
    return min(rules.patience_ms, rules.patience_hedges * hedge_after_ms(choice, rules))


def _confirm(race: FinalizationState, choices: tuple[RouteChoice, ...]) -> Transition:
    running = {choice.name for choice in race.running}
    waiting = tuple(c for c in choices if c.name not in running and c.name not in race.spent and _may(race, c))
    race = replace(race, confirmed=True, speculative=False, waiting=waiting)
    deadline = ScheduleTimer(race.deadline_ms, DeadlineDue)
    timers = tuple(timer for choice in race.running for timer in _timers(race, choice))
    if race.running:
        return race, (deadline, *timers)
    race, orders = _settle(race)
    return race, (deadline, *orders)


def _take(race: FinalizationState, answer: AttemptAnswered) -> Transition:
    choice = _running(race, answer.name)
    if choice is None:
        return race, ()
    older = tuple(takewhile(lambda other: other != choice, race.running))
    race, final = _done(race, choice), answer.final
    if race.held is not None:
        first, doubted = race.held
        if not final.text.strip():
            return _deliver(race, first, doubted, first.why)
        lied: tuple[HedgingOrder, ...] = () if doubted.text.strip() else (RecordFailure(first.name),)
        race, orders = _deliver(race, choice, final, f"a second opinion on {first.name}")
        return race, (*lied, *orders)
    if is_doubtful(final, answer.draft, choice, race):
        race = replace(race, held=(choice, final))
        return (race, ()) if race.running else _settle(race)
    race, orders = _deliver(race, choice, final, choice.why)
    return race, (*(RecordFailure(late.name) for late in older), *orders)


def is_doubtful(final: Hypothesis, draft: str, choice: RouteChoice, race: FinalizationState) -> bool:
    """Whether another route should be asked before this final is believed."""
    if not final.text.strip():
        return bool(draft.strip())
    rules = race.rules.cascade
    if rules is None:
        return False
    unsure = final.confidence is not None and final.confidence < rules.least_confidence
    alone = bool(draft.strip()) and agreement(draft, final.text) < rules.least_agreement
    can_ask = race.speculative or any(other.quality > choice.quality for other in race.waiting)
    return (unsure or alone) and can_ask


def _fail(race: FinalizationState, name: str, error: ParleyError) -> Transition:
    choice = _running(race, name)
    if choice is None:
        return race, ()
    race = replace(_done(race, choice), error=error, failed_over=(*race.failed_over, name))
    if isinstance(error, ProviderError) and not error.retryable:
        race = replace(race, refused=(*race.refused, name))
    return (race, ()) if race.running else _settle(race)


def _hedge(race: FinalizationState, name: str, *, token: bool) -> Transition:
    choice = _running(race, name)
    if choice is None or not race.waiting:
        return race, ()
    if not token:  # its breaker learns of it all the same; and where nobody runs beside it, patience is shorter
        more = give_up_after_ms(choice, race.rules) - hedge_after_ms(choice, race.rules)
        return race, (RecordFailure(name), ScheduleTimer(max(0.0, more), TimeoutDue, name))
    return _next(replace(race, hedged=True), hedge=True)


def _abandon(race: FinalizationState, name: str) -> Transition:
    """Nobody waits for it any longer, if there is anyone else."""
    choice = _running(race, name)
    if choice is None or (not race.waiting and len(race.running) == 1):
        return race, ()
    race, orders = _fail(race, name, ProviderDown(name, "took too long"))
    return race, (StopAttempt(name), RecordFailure(name), *orders)


def _again(race: FinalizationState, choices: tuple[RouteChoice, ...]) -> Transition:
    if race.running or race.waiting:
        return race, ()
    able = tuple(c for c in choices if c.name not in race.refused and _may(race, c))
    return _settle(replace(race, waiting=able, spent=(), rounds=race.rounds + 1))


def _restrict(race: FinalizationState) -> Transition:
    race = replace(race, allowed=Residency.ON_PREM_ONLY)
    gone = tuple(c for c in race.running if not _may(race, c))
    race = replace(
        race,
        waiting=tuple(c for c in race.waiting if _may(race, c)),
        running=tuple(c for c in race.running if _may(race, c)),
        spent=(*race.spent, *(c.name for c in gone)),
    )
    stops = tuple(StopAttempt(c.name) for c in gone)
    if not gone or race.running:
        return race, stops
    race, orders = _settle(race)
    return race, (*stops, *orders)


def _settle(race: FinalizationState) -> Transition:
    """Nobody runs. Ask the next one, or make do with what there is."""
    if race.held is None:
        return _next(race) if race.waiting else _wait(race)
    choice, final = race.held
    if final.text.strip():
        better = tuple(c for c in race.waiting if c.quality > choice.quality and not race.asked)
    else:
        better = race.waiting
    if better:
        return _next(replace(race, waiting=better, asked=True))
    if race.speculative:
        return race, ()  # when the utterance is confirmed, more routes may be asked
    return _deliver(race, choice, final, choice.why)


def _wait(race: FinalizationState) -> Transition:
    """Nobody is left. Try again after a pause, where that can help."""
    error = race.error or ProviderBusy("finals", "no route may take this utterance")
    if race.speculative or not race.error or not (isinstance(error, ProviderError) and error.retryable):
        return _give_up(race, error)
    return race, (ScheduleTimer(min(2000.0, 100.0 * 2.0**race.rounds), RetryDue),)


def _next(race: FinalizationState, *, hedge: bool = False) -> Transition:
    if not race.waiting:
        return _wait(race)
    choice, *waiting = race.waiting
    race = replace(race, waiting=tuple(waiting), running=(*race.running, choice))
    return race, (StartAttempt(choice, hedge=hedge), *(_timers(race, choice) if race.confirmed else ()))


def _deliver(race: FinalizationState, choice: RouteChoice, final: Hypothesis, why: str) -> Transition:
    if race.failed_over:
        why = f"{' and '.join(dict.fromkeys(race.failed_over))} failed; {why}"
    losers = tuple(StopAttempt(other.name) for other in race.running)
    return replace(race, running=(), over=True), (*losers, Deliver(choice, final, why))


def _give_up(race: FinalizationState, error: ParleyError) -> Transition:
    """The deadline, or nobody can help. A doubted final with words is better than none.

    A route that still works is to blame at the deadline of the rules alone: otherwise one session in
    a hurry would send it to rest for all.
    """
    if race.held is not None and (race.held[1].text.strip() or not race.running):
        return _deliver(race, *race.held, "no other route had better words")
    losers = tuple(StopAttempt(other.name) for other in race.running)
    blamed = () if race.is_hurried else tuple(RecordFailure(other.name) for other in race.running)
    return replace(race, running=(), over=True), (*losers, *blamed, GiveUp(error))


def _done(race: FinalizationState, choice: RouteChoice) -> FinalizationState:
    running = tuple(c for c in race.running if c.name != choice.name)
    return replace(race, running=running, spent=(*race.spent, choice.name))


def _timers(race: FinalizationState, choice: RouteChoice) -> tuple[ScheduleTimer, ...]:
    if not race.rules.hedge.enabled:
        return (ScheduleTimer(give_up_after_ms(choice, race.rules), TimeoutDue, choice.name),)
    hedge = ScheduleTimer(hedge_after_ms(choice, race.rules), HedgeDue, choice.name)
    return hedge, ScheduleTimer(race.rules.patience_ms, TimeoutDue, choice.name)


def _running(race: FinalizationState, name: str) -> RouteChoice | None:
    return next((choice for choice in race.running if choice.name == name), None)


def _may(race: FinalizationState, choice: RouteChoice) -> bool:
    return may_process(race.allowed, choice.place, race.rules)
