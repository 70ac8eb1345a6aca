"""Inputs of the ranking: one utterance that needs a final, and one route as a candidate for it."""

from dataclasses import dataclass

from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import Price, Spent


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """One utterance that needs a final."""

    seconds: float
    """Audio so far."""
    language: str | None = None
    """Two letters; None: the engine's own choice."""
    residency: Residency = Residency.CLOUD_OK
    spent: Spent = Spent()
    deadline_ms: float | None = None
    """The session's own, from the end of the utterance; the rules have another."""
    speculative: bool = False
    """The utterance may continue and this final be discarded, so it may cost nothing."""
    tenant_usd: float | None = None
    """What this tenant may spend in a day; None: the budget of the rules."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route as it is at this moment."""

    name: str
    place: Place
    price: Price = Price()
    breaker_state: BreakerState = BreakerState.CLOSED
    failure_rate: float = 0.0
    """Share of its newest calls that failed or were slow, 0 to 1."""
    p50_ms: float = 1000.0
    p95_ms: float = 2000.0
    in_flight: int = 0
    """Finals it is working on."""
    at_once: int | None = None
    """Finals it works on concurrently; None where that is its own business."""
    languages: tuple[str, ...] = ()
    """Empty: every language."""
    longest_s: float | None = None
    """Longest utterance it takes, in seconds; None: any."""
    quality: float = 0.5
    """Accuracy of its text, 0 to 1, as the operator rates it."""
    agreement: float | None = None
    """How far its finals agree with the drafts, 0 to 1; None where too few are known."""
    streamed: float = 0.0
    """Seconds its open stream has carried, where it keeps one."""
    live: bool = False
    """It takes the audio while the user speaks."""

    @property
    def expected_ms(self) -> float:
        """Median latency, queueing included."""
        return self.p50_ms * self._queue

    @property
    def tail_ms(self) -> float:
        """95th percentile of the latency, queueing included."""
        return self.p95_ms * self._queue

    @property
    def _queue(self) -> float:
        """Rounds of work until a new final is done; 1 where nothing is queued."""
        return 1.0 if self.at_once is None else 1.0 + self.in_flight // self.at_once
