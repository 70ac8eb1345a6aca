"""Sums up decisions per route: share, latency, cost, failures, agreement."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.percentile import percentile
from app.domain.routing.decision import DecisionRecord, Outcome


@dataclass(frozen=True, slots=True)
class RouteSummary:
    name: str
    finals: int
    share: float
    """Of all finals, 0 to 1."""
    p50_ms: float | None
    p95_ms: float | None
    usd: float
    """For everything it was asked, delivered or not."""
    asked: int
    failures: int
    stopped: int
    hedged: int
    agreement: float | None
    """Mean, of its finals that had drafts."""


def summarise(records: Sequence[DecisionRecord]) -> tuple[RouteSummary, ...]:
    """One line per route that was asked, by name; finals that are the newest draft are counted as `draft`."""
    names = sorted({a.name for r in records for a in r.attempts} | {r.chosen or "draft" for r in records})
    return tuple(_summary(name, records) for name in names)


def _summary(name: str, records: Sequence[DecisionRecord]) -> RouteSummary:
    mine = [r for r in records if (r.chosen or "draft") == name]
    attempts = [a for r in records for a in r.attempts if a.name == name]
    times = [r.latency_ms for r in mine if r.chosen]  # a draft that is shown as the final has no latency
    agreements = [r.agreement for r in mine if r.agreement is not None]
    return RouteSummary(
        name,
        len(mine),
        len(mine) / len(records),
        percentile(times, 0.5),
        percentile(times, 0.95),
        round(sum(a.usd for a in attempts), 6),
        len(attempts),
        sum(a.outcome is Outcome.FAILED for a in attempts),
        sum(a.outcome is Outcome.STOPPED for a in attempts),
        sum(r.hedged for r in mine),
        sum(agreements) / len(agreements) if agreements else None,
    )
