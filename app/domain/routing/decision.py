"""What is written down about one final: what was known, what was decided, what came of it. Never what was said."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.residency import Place
from app.domain.routing.request import Candidate, RouteRequest


class Outcome(StrEnum):
    """How one route's part in a final ended."""

    DELIVERED = "delivered"
    ANSWERED = "answered"
    """Its words were doubted, or too late."""
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One route's part in a final."""

    name: str
    outcome: Outcome
    ms: float
    """From the end of the audio, or its own later start, to its end."""
    usd: float
    error: str = ""
    """Our code."""


@dataclass(frozen=True, slots=True)
class RejectedRoute:
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision and its outcome."""

    id: str
    at: str
    """ISO 8601, UTC."""
    session: str
    tenant: str
    utterance: int
    rules: str
    """Their name."""
    request: RouteRequest
    fleet: tuple[Candidate, ...]
    ranked: tuple[str, ...]
    rejected: tuple[RejectedRoute, ...]
    panic: bool
    chosen: str | None
    """Who made the final; None where the newest draft had to do."""
    place: Place | None
    why: str
    hedged: bool
    latency_ms: float
    """From the end of the utterance, or its own earlier begin, to the final."""
    usd: float
    attempts: tuple[Attempt, ...]
    agreement: float | None = None
    """Of the final with the drafts, 0 to 1; None where there was no draft."""


class ExpenseKind(StrEnum):
    """What money was spent on that made no final."""

    PROBE = "probe"
    SILENCE = "silence"
    """That kept a stream open for an utterance that did not come."""


@dataclass(frozen=True, slots=True)
class Expense:
    """Money that belongs to no decision; decisions and expenses add up to the bill."""

    at: str
    """ISO 8601, UTC."""
    route: str
    occasion: ExpenseKind
    usd: float
    session: str = ""
    tenant: str = ""
    """Empty where it is the service's own."""


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions; what is None does not matter."""

    session: str | None = None
    tenant: str | None = None
    route: str | None = None
    place: str | None = None
    since: str | None = None
    until: str | None = None
    """ISO 8601, UTC."""
    limit: int = 100
