"""Inputs of the ranking: one utterance that needs a final, and one route as a candidate for it."""

from dataclasses import dataclass

from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import Price, Spent


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """One utterance that wants a final."""

    seconds: float
    """Audio so far."""
    language: str | None = None
    allowed: Residency = Residency.CLOUD_OK
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
    health: BreakerState = BreakerState.CLOSED
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
