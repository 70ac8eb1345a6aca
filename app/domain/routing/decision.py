"""Records of the routing policy: each final's decision with its inputs and outcome, and other expenses. Never text."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.residency import Place
from app.domain.routing.request import Candidate, RouteRequest


class Outcome(StrEnum):
    """How one attempt ended."""

    DELIVERED = "delivered"
    ANSWERED = "answered"
    """Its final was doubted, came too late, or was dropped when the utterance went on."""
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One route asked for one final."""

    name: str
    outcome: Outcome
    ms: float
    """From the end of the audio, or its own later start, to its end."""
    usd: float
    error: str = ""
    """Code of the error, as in `app.domain.errors`; empty where there was none."""


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
    """Name of the rules."""
    request: RouteRequest
    fleet: tuple[Candidate, ...]
    ranked: tuple[str, ...]
    rejected: tuple[RejectedRoute, ...]
    panic: bool
    chosen: str | None
    """The route that made the final; None where the newest draft was shown instead."""
    place: Place | None
    why: str
    hedged: bool
    latency_ms: float
    """From the end of the audio, or the later start of the attempt, to the final; 0 where no route made it."""
    usd: float
    attempts: tuple[Attempt, ...]
    agreement: float | None = None
    """Of the final with the drafts, 0 to 1; None where there was no draft."""


class ExpenseKind(StrEnum):
    """What money was spent on, other than the final of a decision."""

    PROBE = "probe"
    SILENCE = "silence"
    """Sent to keep a stream open for an utterance that did not come."""
    ABANDONED = "abandoned"
    """Attempts of an utterance whose session ended before a final was shown."""
    REPLY = "reply"
    """A reply, by the tokens that its server counted."""
    REPLY_ESTIMATE = "reply_estimate"
    """A reply whose server counted no tokens: estimated from its characters."""
    SPEECH = "speech"
    """Synthesized speech, by its characters."""


@dataclass(frozen=True, slots=True)
class Expense:
    """Money that belongs to no decision; decisions and expenses add up to the bill.

    Each call of a reply engine, and the speech of each reply, has one, also where it cost nothing or failed.
    """

    id: str
    at: str
    """ISO 8601, UTC."""
    route: str
    """The route, or the provider of replies or speech."""
    kind: ExpenseKind
    usd: float
    session: str = ""
    tenant: str = ""
    """Empty where it is the service's own, such as a probe."""
    prompt_tokens: int = 0
    generated_tokens: int = 0
    """Thinking included."""
    characters: int = 0
    """Of text sent to a voice."""


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions; None matches all."""

    session: str | None = None
    tenant: str | None = None
    route: str | None = None
    place: str | None = None
    since: datetime | None = None
    """Decisions at this time or later; without an offset it is UTC."""
    until: datetime | None = None
    """Decisions before this time."""
    limit: int = 100
