"""State, events and orders of one utterance's final under way: the vocabulary of `hedging.transition`."""

from dataclasses import dataclass
from typing import TypeAlias

from app.domain.errors import ParleyError
from app.domain.residency import Residency
from app.domain.routing.rank import RouteChoice
from app.domain.routing.rules import RoutingRules
from app.domain.transcript import Hypothesis

# -- events -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EndpointConfirmed:
    """The utterance is over: its final is awaited. These are its routes now, those already tried included."""

    choices: tuple[RouteChoice, ...]
    last_resort: tuple[RouteChoice, ...] = ()
    """Routes whose breakers are open."""


@dataclass(frozen=True, slots=True)
class AttemptAnswered:
    name: str
    final: Hypothesis
    draft: str = ""
    """The newest draft of the utterance."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    name: str
    error: ParleyError


@dataclass(frozen=True, slots=True)
class HedgeDue:
    """This route has taken as long as it usually does at most."""

    name: str
    token: bool
    """The hedge budget has a token; it is taken if a hedge is started."""
    choices: tuple[RouteChoice, ...] = ()
    """The routes that may be asked now."""
    last_resort: tuple[RouteChoice, ...] = ()
    """Routes whose breakers are open."""


@dataclass(frozen=True, slots=True)
class TimeoutDue:
    """This route has taken longer than anyone waits while there is another."""

    name: str
    choices: tuple[RouteChoice, ...] = ()
    """The routes that may be asked now."""
    last_resort: tuple[RouteChoice, ...] = ()
    """Routes whose breakers are open."""


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The pause after all routes had failed is over. These are the routes that may be asked now."""

    choices: tuple[RouteChoice, ...]
    last_resort: tuple[RouteChoice, ...] = ()
    """Routes whose breakers are open."""


@dataclass(frozen=True, slots=True)
class RouteRecovered:
    """The breaker of this route has closed. These are the routes that may be asked now."""

    name: str
    choices: tuple[RouteChoice, ...]


@dataclass(frozen=True, slots=True)
class DeadlineDue:
    pass


@dataclass(frozen=True, slots=True)
class ResidencyRestricted:
    """The session's audio stays on the premises from now on."""


HedgingEvent: TypeAlias = (
    EndpointConfirmed
    | AttemptAnswered
    | AttemptFailed
    | HedgeDue
    | TimeoutDue
    | RetryDue
    | RouteRecovered
    | DeadlineDue
    | ResidencyRestricted
)
TimerEvent: TypeAlias = type[HedgeDue] | type[TimeoutDue] | type[RetryDue] | type[DeadlineDue]

# -- orders -------------------------------------------------------------------


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
    """Its breaker must count a failure, although it raised no error: it was late, or its final was wrong."""

    name: str


@dataclass(frozen=True, slots=True)
class ScheduleTimer:
    ms: float
    event: TimerEvent
    name: str = ""
    """The route, for the timers that belong to one."""


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
    """One utterance's final under way."""

    rules: RoutingRules
    untried: tuple[RouteChoice, ...] = ()
    """Best first."""
    last_resort: tuple[RouteChoice, ...] = ()
    """Routes whose breakers were open when the routes were last ranked."""
    running: tuple[RouteChoice, ...] = ()
    """Oldest first."""
    finished: tuple[str, ...] = ()
    """Names of the routes that were tried and no longer run."""
    refused: tuple[str, ...] = ()
    """Of those, the ones that would refuse again."""
    overdue: tuple[str, ...] = ()
    """Names of running routes that have timed out while there was no other."""
    speculative: bool = False
    confirmed: bool = False
    residency: Residency = Residency.CLOUD_OK
    session_deadline_ms: float | None = None
    """The session's own deadline; it may be sooner than the one of the rules, never later."""
    doubted: tuple[RouteChoice, Hypothesis] | None = None
    second_opinion_asked: bool = False
    """Another route was asked because of the doubted final."""
    error: ParleyError | None = None
    """The newest failure that may pass; where there is none, the newest."""
    retries: int = 0
    hedged: bool = False
    failed_over: tuple[str, ...] = ()
    """Names of the routes that failed, in order."""
    ended: bool = False

    @property
    def is_hurried(self) -> bool:
        """Whether the session waits for less time than the rules have it."""
        return self.session_deadline_ms is not None and self.session_deadline_ms < self.rules.deadline_ms

    @property
    def deadline_ms(self) -> float:
        own = self.session_deadline_ms
        return self.rules.deadline_ms if own is None else min(own, self.rules.deadline_ms)

    @property
    def is_stuck(self) -> bool:
        """Whether no route is left to try, and every running one, if any, has timed out."""
        return not self.untried and self.is_overdue

    @property
    def is_overdue(self) -> bool:
        """Whether every running route has timed out."""
        return all(choice.name in self.overdue for choice in self.running)
