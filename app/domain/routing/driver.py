"""Executes the orders of the hedging machine through a port: the live router and the simulation share it."""

from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

from app.domain.residency import Residency
from app.domain.routing import finalization, hedging
from app.domain.routing.rank import Ranking, RouteChoice
from app.domain.routing.rules import RoutingRules


class RoutingPort(Protocol):
    """What the orders of one final are executed with. No method waits, and none calls the driver back at once."""

    def rank(self) -> Ranking:
        """The routes as they are now, for this utterance."""
        ...

    def has_hedge_token(self) -> bool: ...

    def take_hedge_token(self) -> None: ...

    def start(self, choice: RouteChoice) -> None:
        """Start an attempt; its end is reported as AttemptAnswered or AttemptFailed."""
        ...

    def stop(self, name: str) -> None:
        """Cancel the running attempt of this route; it reports nothing any more."""
        ...

    def record_failure(self, name: str) -> None: ...

    def schedule(self, ms: float, event: finalization.TimerEvent, name: str) -> None:
        """Call `HedgingDriver.timer_due(event, name)` after this time."""
        ...

    def end(self, end: finalization.Deliver | finalization.GiveUp) -> None:
        """The final, or the error, is there. Nothing is ordered after it."""
        ...


@dataclass(slots=True, eq=False)
class HedgingDriver:
    """One final under way: feeds events to `hedging.transition` and executes what it orders, at once and in order."""

    port: RoutingPort
    rules: RoutingRules
    state: finalization.FinalizationState = field(init=False)

    def __post_init__(self) -> None:
        self.state = finalization.FinalizationState(self.rules)

    def begin(
        self,
        choices: tuple[RouteChoice, ...],
        *,
        speculative: bool,
        residency: Residency,
        session_deadline_ms: float | None = None,
    ) -> None:
        """Start the first route."""
        self._advance(
            hedging.begin(
                choices,
                self.rules,
                speculative=speculative,
                residency=residency,
                session_deadline_ms=session_deadline_ms,
            )
        )

    def handle(self, event: finalization.HedgingEvent) -> None:
        self._advance(hedging.transition(self.state, event))

    def confirm_endpoint(self) -> None:
        """The utterance is over."""
        if not self.state.ended:
            ranking = self.port.rank()
            self.handle(finalization.EndpointConfirmed(ranking.choices, ranking.last_resort))

    def route_recovered(self, name: str) -> None:
        """The breaker of this route has closed."""
        if not self.state.ended:
            self.handle(finalization.RouteRecovered(name, self.port.rank().choices))

    def timer_due(self, event: finalization.TimerEvent, name: str) -> None:
        if self.state.ended:
            return
        if event is finalization.DeadlineDue:
            self.handle(finalization.DeadlineDue())
            return
        ranking = self.port.rank()
        if event is finalization.HedgeDue:
            token = self.port.has_hedge_token()
            self.handle(finalization.HedgeDue(name, token, ranking.choices, ranking.last_resort))
        elif event is finalization.TimeoutDue:
            self.handle(finalization.TimeoutDue(name, ranking.choices, ranking.last_resort))
        else:
            self.handle(finalization.RetryDue(ranking.choices, ranking.last_resort))

    def close(self) -> None:
        """Ignore every event from now on."""
        self.state = replace(self.state, ended=True)

    def _advance(self, step: finalization.Transition) -> None:
        self.state, orders = step
        for order in orders:
            match order:
                case finalization.StartAttempt(choice, hedge):
                    if hedge:
                        self.port.take_hedge_token()
                    self.port.start(choice)
                case finalization.StopAttempt(name):
                    self.port.stop(name)
                case finalization.RecordFailure(name):
                    self.port.record_failure(name)
                case finalization.ScheduleTimer(ms, event, name):
                    self.port.schedule(ms, event, name)
                case finalization.Deliver() | finalization.GiveUp():
                    self.port.end(order)
                case _:
                    assert_never(order)
