"""Replays stored decisions under other rules (counterfactual evaluation)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.percentile import percentile
from app.domain.residency import Place, Residency
from app.domain.routing.cost import Spent
from app.domain.routing.decision import DecisionRecord
from app.domain.routing.rank import RouteChoice, rank
from app.domain.routing.rules import RoutingRules


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A trace of decisions under one set of rules."""

    rules: str
    finals: int
    covered: float
    """Share of utterances that had a route."""
    p50_ms: float | None
    p95_ms: float | None
    usd: float
    cloud: float
    """Share of finals made in the cloud."""
    violations: int
    """Private utterances that went to the cloud."""
    changed: int
    """Finals another route would have made."""


def as_it_was(records: Sequence[DecisionRecord]) -> Counterfactual:
    """The trace as it was recorded, in the same terms."""
    made = [r for r in records if r.chosen]
    names = " and ".join(sorted({r.rules for r in records}))
    violations = sum(r.place is Place.CLOUD and r.request.residency is Residency.ON_PREM_ONLY for r in made)
    return _column(
        names,
        records,
        [r.latency_ms for r in made],
        sum(r.usd for r in records),
        [r.place for r in made],
        violations,
        0,
    )


def replay(records: Sequence[DecisionRecord], rules: RoutingRules) -> Counterfactual:
    """The same utterances and the same fleets under these rules, oldest first; budgets fill up anew.

    The latency of a route that was not chosen then is its median at that moment.
    """
    sessions, tenants, days = (defaultdict[str, float](float) for _ in range(3))
    times: list[float] = []
    places: list[Place | None] = []
    usd, violations, changed = 0.0, 0, 0
    for record in sorted(records, key=lambda r: r.at):
        day = record.at[:10]
        spent = Spent(sessions[record.session], tenants[f"{day} {record.tenant}"], days[day])
        best = rank(replace(record.request, spent=spent, speculative=False), record.fleet, rules).best
        if best is None:
            changed += record.chosen is not None
            continue
        for total, key in ((sessions, record.session), (tenants, f"{day} {record.tenant}"), (days, day)):
            total[key] += best.usd
        usd += best.usd
        times.append(_latency(record, best))
        places.append(best.place)
        violations += best.place is Place.CLOUD and record.request.residency is Residency.ON_PREM_ONLY
        changed += best.name != record.chosen
    return _column(rules.name, records, times, usd, places, violations, changed)


def _latency(record: DecisionRecord, choice: RouteChoice) -> float:
    return record.latency_ms if choice.name == record.chosen else choice.expected_ms


def _column(
    name: str,
    records: Sequence[DecisionRecord],
    times: Sequence[float],
    usd: float,
    places: Sequence[Place | None],
    violations: int,
    changed: int,
) -> Counterfactual:
    total = len(records)
    return Counterfactual(
        name,
        total,
        len(times) / total if total else 1.0,
        percentile(times, 0.5),
        percentile(times, 0.95),
        round(usd, 6),
        places.count(Place.CLOUD) / len(places) if places else 0.0,
        violations,
        changed,
    )
