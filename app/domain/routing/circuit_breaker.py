"""How a route has been doing: its latencies, and a breaker that keeps trouble away from it.

Both are values: hear() of one more call gives the next value. Time and chance are arguments.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class BreakerState(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    """Everything: the route is well."""
    OPEN = "open"
    """Nothing: the route rests."""
    HALF_OPEN = "half_open"
    """A probe: the rest is over, and nobody knows yet."""


@dataclass(frozen=True, slots=True)
class CircuitBreakerRules:
    """When a route is put to rest, and for how long."""

    window: int = 20
    """Calls that are remembered."""
    least: int = 3
    """Bad ones it takes."""
    share: float = 0.5
    """Share of the remembered calls that must be bad."""
    slow_ms: float = 4000
    """A call that takes longer is as bad as a failed one."""
    rest_s: float = 5
    """The first rest; each one after a failed probe is twice as long."""
    longest_rest_s: float = 120
    jitter: float = 0.2
    """Share of a rest that chance adds, so that gateways do not probe in step."""


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The newest calls of a route, and its rest."""

    rules: CircuitBreakerRules = CircuitBreakerRules()
    bad: tuple[bool, ...] = ()
    """Newest last."""
    rests: int = 0
    """How many in a row."""
    until: float | None = None
    """When the rest is over; None where the route does not rest."""

    def health(self, now: float) -> BreakerState:
        if self.until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.until else BreakerState.HALF_OPEN

    @property
    def badness(self) -> float:
        """Share of bad calls, for choosing the least bad of several."""
        return sum(self.bad) / len(self.bad) if self.bad else 0.0

    def well(self, ms: float = 0.0, *, now: float = 0.0, chance: float = 0.0, probe: bool = False) -> "CircuitBreaker":
        """After a call that gave words; one that took too long is bad all the same."""
        if ms > self.rules.slow_ms:
            return self.ill(now, chance, probe=probe)
        if self.until is not None:
            return CircuitBreaker(self.rules)
        return replace(self, bad=(*self.bad, False)[-self.rules.window :], rests=0)

    def ill(self, now: float, chance: float, *, probe: bool = False) -> "CircuitBreaker":
        """After a failed or slow call; `chance` is 0 to 1.

        Calls that began before a rest fail in it, and after it: only a probe prolongs it.
        """
        heard = replace(self, bad=(*self.bad, True)[-self.rules.window :])
        if self.until is not None:
            return _rested(heard, now, chance) if probe else heard
        enough = sum(heard.bad) >= self.rules.least and heard.badness >= self.rules.share
        return _rested(heard, now, chance) if enough else heard


def _rested(breaker: CircuitBreaker, now: float, chance: float) -> CircuitBreaker:
    rules = breaker.rules
    rest = min(rules.longest_rest_s, rules.rest_s * 2.0 ** min(breaker.rests, 30))
    return replace(breaker, rests=breaker.rests + 1, until=now + rest * (1 + rules.jitter * chance))
