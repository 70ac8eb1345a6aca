"""Hedging and failover for one utterance's final.

`transition` takes the state and one event and gives the next state and the orders that follow from it: start an
attempt, stop one, schedule a timer, deliver, give up. It knows no time but the delays it asks for, so that a test
or a simulation can play it in no time. `HedgingDriver` executes the orders through a port.

The first final that can be believed is delivered. A final is doubted where it is empty though the drafts had words,
or where the rules ask a more accurate route for a second opinion; a doubted final is kept, and delivered after all
when no other route has a better one.

While a request runs, routes whose breakers close join it. Where the only running attempt has timed out and no other
route is left, those with open breakers are tried beside it: they are the only hope before the deadline.
"""

from dataclasses import replace
from itertools import takewhile
from typing import assert_never

from app.domain.errors import ParleyError, ProviderBusy, ProviderDown, ProviderError, RequestRefused
from app.domain.residency import Residency
from app.domain.routing.finalization import (
    AttemptAnswered,
    AttemptFailed,
    DeadlineDue,
    Deliver,
    EndpointConfirmed,
    FinalizationState,
    GiveUp,
    HedgeDue,
    HedgingEvent,
    HedgingOrder,
    RecordFailure,
    ResidencyRestricted,
    RetryDue,
    RouteRecovered,
    ScheduleTimer,
    StartAttempt,
    StopAttempt,
    TimeoutDue,
    Transition,
)
from app.domain.routing.rank import RouteChoice
from app.domain.routing.rules import RoutingRules, may_process
from app.domain.transcript import Hypothesis, agreement


def begin(
    choices: tuple[RouteChoice, ...],
    rules: RoutingRules,
    *,
    speculative: bool,
    residency: Residency,
    session_deadline_ms: float | None = None,
) -> Transition:
    """Start the first route."""
    return _start_next(
        FinalizationState(
            rules,
            choices,
            speculative=speculative,
            residency=residency,
            session_deadline_ms=session_deadline_ms,
        )
    )


def transition(state: FinalizationState, event: HedgingEvent) -> Transition:
    """The state after one more event, and the orders that follow from it."""
    if state.ended:
        return state, ()
    match event:
        case EndpointConfirmed(choices, last_resort):
            return _confirm(replace(state, last_resort=last_resort), choices)
        case AttemptAnswered():
            return _accept(state, event)
        case AttemptFailed(name, error):
            return _fail(state, name, error)
        case HedgeDue(name, token, choices, last_resort):
            return _hedge(_joined(replace(state, last_resort=last_resort), choices), name, token=token)
        case TimeoutDue(name, choices, last_resort):
            return _time_out(_joined(replace(state, last_resort=last_resort), choices), name)
        case RetryDue(choices, last_resort):
            return _retry(replace(state, last_resort=last_resort), choices)
        case RouteRecovered(name, choices):
            return _recover(state, name, choices)
        case DeadlineDue():
            return _give_up(state, ProviderDown("finals", "no route answered in time"))
        case ResidencyRestricted():
            return _restrict(state)
        case _:
            assert_never(event)


def hedge_after_ms(choice: RouteChoice, rules: RoutingRules) -> float:
    """How long a route may take before another is started in parallel."""
    return min(rules.hedge.most_ms, max(rules.hedge.least_ms, choice.tail_ms))


def abandon_after_ms(choice: RouteChoice, rules: RoutingRules) -> float:
    """How long a route may take without a hedge, where another is left to try."""
    return min(rules.abandon_after_ms, rules.abandon_after_hedges * hedge_after_ms(choice, rules))


def is_doubtful(final: Hypothesis, draft: str, choice: RouteChoice, state: FinalizationState) -> bool:
    """Whether another route should be asked before this final is believed."""
    if not final.text.strip():
        return bool(draft.strip())
    rules = state.rules.cascade
    if rules is None:
        return False
    unsure = final.confidence is not None and final.confidence < rules.least_confidence
    disagrees = bool(draft.strip()) and agreement(draft, final.text) < rules.least_agreement
    can_ask = state.speculative or any(other.quality > choice.quality for other in state.untried)
    return (unsure or disagrees) and can_ask


# -- transitions, one for each event ------------------------------------------


def _confirm(state: FinalizationState, choices: tuple[RouteChoice, ...]) -> Transition:
    running = {choice.name for choice in state.running}
    untried = tuple(
        c for c in choices if c.name not in running and c.name not in state.finished and _may_process(state, c)
    )
    state = replace(state, confirmed=True, speculative=False, untried=untried)
    deadline = ScheduleTimer(state.deadline_ms, DeadlineDue)
    if state.running:
        return state, (deadline, *(timer for choice in state.running for timer in _timers(state, choice)))
    state, orders = _continue(state)
    return state, (deadline, *orders)


def _accept(state: FinalizationState, answer: AttemptAnswered) -> Transition:
    choice = _running(state, answer.name)
    if choice is None:
        return state, ()
    older = tuple(takewhile(lambda other: other != choice, state.running))
    state, final = _finished(state, choice), answer.final
    if state.doubted is not None:
        first, doubted = state.doubted
        if not final.text.strip():
            return _deliver(state, first, doubted, first.why)
        missed_words: tuple[HedgingOrder, ...] = () if doubted.text.strip() else (RecordFailure(first.name),)
        state, orders = _deliver(state, choice, final, f"a second opinion on {first.name}")
        return state, (*missed_words, *orders)
    if is_doubtful(final, answer.draft, choice, state):
        state = replace(state, doubted=(choice, final))
        return (state, ()) if state.running else _continue(state)
    state, orders = _deliver(state, choice, final, choice.why)
    return state, (*(RecordFailure(late.name) for late in older), *orders)


def _fail(state: FinalizationState, name: str, error: ParleyError) -> Transition:
    choice = _running(state, name)
    if choice is None:
        return state, ()
    may_pass = isinstance(error, ProviderError) and error.retryable
    state = replace(
        _finished(state, choice),
        error=error if may_pass or not _may_pass(state.error) else state.error,
        failed_over=state.failed_over if isinstance(error, RequestRefused) else (*state.failed_over, name),
        refused=state.refused if may_pass else (*state.refused, name),
    )
    if not state.running:
        return _continue(state)
    if not state.is_overdue:
        return state, ()
    return _start_next(state) if state.untried else (state, (_retry_timer(state),))


def _hedge(state: FinalizationState, name: str, *, token: bool) -> Transition:
    choice = _running(state, name)
    if choice is None:
        return state, ()
    if not state.untried and state.deadline_ms <= state.rules.abandon_after_ms:  # its timeout would come too late
        state = replace(state, untried=_new(state, state.last_resort))
    if not state.untried:
        return state, ()
    if not token:  # its breaker counts the delay all the same, and without a hedge it is abandoned sooner
        more = abandon_after_ms(choice, state.rules) - hedge_after_ms(choice, state.rules)
        return state, (RecordFailure(name), ScheduleTimer(max(0.0, more), TimeoutDue, name))
    return _start_next(replace(state, hedged=True), hedge=True)


def _time_out(state: FinalizationState, name: str) -> Transition:
    """Abandon the route where there is another; otherwise let it run, and try the last resort beside it."""
    choice = _running(state, name)
    if choice is None:
        return state, ()
    if state.untried or any(other.name not in state.overdue for other in state.running if other != choice):
        return _abandon(state, choice)
    state = replace(state, overdue=(*state.overdue, name))
    if _new(state, state.last_resort):
        return _start_last_resort(state)
    may_recover = any(tried not in state.refused for tried in state.finished)
    return state, (_retry_timer(state),) if may_recover else ()


def _retry(state: FinalizationState, choices: tuple[RouteChoice, ...]) -> Transition:
    if not state.is_stuck:
        return state, ()
    state = _joined(replace(state, finished=(), retries=state.retries + 1), (*choices, *state.last_resort))
    if not state.running:
        return _continue(state)
    return _start_next(state) if state.untried else (state, ())


def _recover(state: FinalizationState, name: str, choices: tuple[RouteChoice, ...]) -> Transition:
    """Let the route join, and where every other has timed out, start it at once."""
    if not state.confirmed:
        return state, ()  # the routes are ranked again when the endpoint is confirmed
    stuck = bool(state.running) and state.is_stuck
    state = _joined(replace(state, finished=tuple(other for other in state.finished if other != name)), choices)
    return _abandon(state, state.running[0]) if stuck and state.untried else (state, ())


def _restrict(state: FinalizationState) -> Transition:
    state = replace(state, residency=Residency.ON_PREM_ONLY)
    gone = tuple(c for c in state.running if not _may_process(state, c))
    state = replace(
        state,
        untried=tuple(c for c in state.untried if _may_process(state, c)),
        running=tuple(c for c in state.running if _may_process(state, c)),
        finished=(*state.finished, *(c.name for c in gone)),
    )
    stops = tuple(StopAttempt(c.name) for c in gone)
    if not gone or state.running:
        return state, stops
    state, orders = _continue(state)
    return state, (*stops, *orders)


def _give_up(state: FinalizationState, error: ParleyError) -> Transition:
    """At the deadline, or where no route can help. A doubted final with words is better than none.

    A route that still works counts as failed at the deadline of the rules alone: otherwise one session in a hurry
    could open its breaker for all.
    """
    if state.doubted is not None and (state.doubted[1].text.strip() or not state.running):
        return _deliver(state, *state.doubted, "no other route had better words")
    stops = tuple(StopAttempt(other.name) for other in state.running)
    failures = () if state.is_hurried else tuple(RecordFailure(other.name) for other in state.running)
    return replace(state, running=(), ended=True), (*stops, *failures, GiveUp(error))


# -- steps that several transitions share -------------------------------------


def _continue(state: FinalizationState) -> Transition:
    """Nothing runs: start the next route, or deliver the doubted final."""
    if state.doubted is None:
        return _start_next(state) if state.untried else _retry_or_give_up(state)
    choice, final = state.doubted
    if final.text.strip():
        better = tuple(c for c in state.untried if c.quality > choice.quality and not state.second_opinion_asked)
    else:
        better = state.untried
    if better:
        return _start_next(replace(state, untried=better, second_opinion_asked=True))
    if state.speculative:
        return state, ()  # when the utterance is confirmed, more routes may be asked
    return _deliver(state, choice, final, choice.why)


def _start_next(state: FinalizationState, *, hedge: bool = False) -> Transition:
    if not state.untried:
        return _retry_or_give_up(state)
    choice, *untried = state.untried
    state = replace(state, untried=tuple(untried), running=(*state.running, choice))
    return state, (StartAttempt(choice, hedge=hedge), *(_timers(state, choice) if state.confirmed else ()))


def _start_last_resort(state: FinalizationState) -> Transition:
    """Start a route although its breaker is open, beside any that have timed out; that takes no hedge token."""
    return _start_next(replace(state, untried=_new(state, state.last_resort)))


def _retry_or_give_up(state: FinalizationState) -> Transition:
    """No route is left. Try again after a pause, where a failure may pass; otherwise try the last resort."""
    if not state.speculative and _may_pass(state.error):
        return state, (_retry_timer(state),)
    if state.confirmed and _new(state, state.last_resort):
        return _start_last_resort(state)
    return _give_up(state, state.error or ProviderBusy("finals", "no route may take this utterance"))


def _abandon(state: FinalizationState, choice: RouteChoice) -> Transition:
    state, orders = _fail(state, choice.name, ProviderDown(choice.name, "took too long"))
    return state, (StopAttempt(choice.name), RecordFailure(choice.name), *orders)


def _deliver(state: FinalizationState, choice: RouteChoice, final: Hypothesis, why: str) -> Transition:
    if state.failed_over:
        why = f"{' and '.join(dict.fromkeys(state.failed_over))} failed; {why}"
    stops = tuple(StopAttempt(other.name) for other in state.running)
    return replace(state, running=(), ended=True), (*stops, Deliver(choice, final, why))


def _joined(state: FinalizationState, choices: tuple[RouteChoice, ...]) -> FinalizationState:
    """With the new ones of these choices among the untried."""
    return replace(state, untried=(*state.untried, *_new(state, choices)))


def _new(state: FinalizationState, choices: tuple[RouteChoice, ...]) -> tuple[RouteChoice, ...]:
    """Those of the choices that this request neither knows nor must not ask, each of them once."""
    known = {c.name for c in (*state.untried, *state.running)} | {*state.finished, *state.refused}
    doubted = state.doubted
    least = doubted[0].quality if doubted is not None and doubted[1].text.strip() else -1.0
    new = [c for c in choices if c.name not in known and c.quality > least and _may_process(state, c)]
    return tuple({c.name: c for c in reversed(new)}.values())[::-1]


def _finished(state: FinalizationState, choice: RouteChoice) -> FinalizationState:
    running = tuple(c for c in state.running if c.name != choice.name)
    overdue = tuple(name for name in state.overdue if name != choice.name)
    return replace(state, running=running, overdue=overdue, finished=(*state.finished, choice.name))


def _timers(state: FinalizationState, choice: RouteChoice) -> tuple[ScheduleTimer, ...]:
    if not state.rules.hedge.enabled:
        return (ScheduleTimer(abandon_after_ms(choice, state.rules), TimeoutDue, choice.name),)
    hedge = ScheduleTimer(hedge_after_ms(choice, state.rules), HedgeDue, choice.name)
    return hedge, ScheduleTimer(state.rules.abandon_after_ms, TimeoutDue, choice.name)


def _retry_timer(state: FinalizationState) -> ScheduleTimer:
    return ScheduleTimer(min(2000.0, 100.0 * 2.0**state.retries), RetryDue)


def _running(state: FinalizationState, name: str) -> RouteChoice | None:
    return next((choice for choice in state.running if choice.name == name), None)


def _may_pass(error: ParleyError | None) -> bool:
    return isinstance(error, ProviderError) and error.retryable


def _may_process(state: FinalizationState, choice: RouteChoice) -> bool:
    return may_process(state.residency, choice.place, state.rules)
