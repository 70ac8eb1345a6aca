"""Circuit breaker of a route: opens after failed or slow calls, closes after a successful probe.

A breaker is a value: each recorded call gives the next one. Time (seconds) and chance (0 to 1) are arguments.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class BreakerState(StrEnum):
    """Which calls a breaker lets through."""

    CLOSED = "closed"
    """All."""
    OPEN = "open"
    """None."""
    HALF_OPEN = "half_open"
    """A probe alone: the open time is over, and nobody knows yet whether the route works."""


@dataclass(frozen=True, slots=True)
class CircuitBreakerRules:
    """When a breaker opens, and for how long."""

    window: int = 20
    """Newest calls that count."""
    min_failures: int = 3
    failure_share: float = 0.5
    """Share of the counted calls that must have failed."""
    slow_ms: float = 4000
    """A call that takes longer counts as failed."""
    open_s: float = 5
    """How long the first trip lasts; each one after a failed probe lasts twice as long."""
    max_open_s: float = 120
    jitter: float = 0.2
    """Share of the open time that chance adds, so that gateways do not probe in step."""


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The newest calls of a route, and until when it is kept out."""

    rules: CircuitBreakerRules = CircuitBreakerRules()
    failures: tuple[bool, ...] = ()
    """Whether each of the newest calls failed; newest last."""
    trips: int = 0
    """How many times in a row it has opened."""
    open_until: float | None = None
    """When a probe may be sent; None while the breaker is closed."""

    def state(self, now: float) -> BreakerState:
        if self.open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.open_until else BreakerState.HALF_OPEN

    @property
    def failure_rate(self) -> float:
        """Share of the newest calls that failed, 0 to 1."""
        return sum(self.failures) / len(self.failures) if self.failures else 0.0

    def record_success(
        self, ms: float = 0.0, *, now: float = 0.0, chance: float = 0.0, probe: bool = False
    ) -> "CircuitBreaker":
        """After a call that gave a final: it closes the breaker, unless it was slow; a slow one counts as failed."""
        if ms > self.rules.slow_ms:
            return self.record_failure(now, chance, probe=probe)
        if self.open_until is not None:
            return CircuitBreaker(self.rules)
        return replace(self, failures=(*self.failures, False)[-self.rules.window :], trips=0)

    def record_failure(self, now: float, chance: float, *, probe: bool = False) -> "CircuitBreaker":
        """After a failed or slow call.

        While the breaker is not closed only a failed probe opens it again: calls that began before it
        opened may fail at any time, and say nothing new.
        """
        counted = replace(self, failures=(*self.failures, True)[-self.rules.window :])
        if self.open_until is not None:
            return _opened(counted, now, chance) if probe else counted
        enough = sum(counted.failures) >= self.rules.min_failures and counted.failure_rate >= self.rules.failure_share
        return _opened(counted, now, chance) if enough else counted


def _opened(breaker: CircuitBreaker, now: float, chance: float) -> CircuitBreaker:
    rules = breaker.rules
    open_s = min(rules.max_open_s, rules.open_s * 2.0 ** min(breaker.trips, 30))
    return replace(breaker, trips=breaker.trips + 1, open_until=now + open_s * (1 + rules.jitter * chance))
