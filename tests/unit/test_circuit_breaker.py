"""Breakers and latencies, with time and chance given."""

from app.domain.routing.circuit_breaker import BreakerState, CircuitBreaker, CircuitBreakerRules
from app.domain.routing.cost import HedgeBudget
from app.domain.routing.latency import LatencyWindow

RULES = CircuitBreakerRules(least=3, share=0.5, slow_ms=1000, rest_s=5, longest_rest_s=30, jitter=0.2)


def ill(breaker: CircuitBreaker, times: int, now: float = 0.0) -> CircuitBreaker:
    for _ in range(times):
        breaker = breaker.ill(now, 0.0)
    return breaker


def test_a_breaker_opens_on_errors():
    """Two bad calls are bad luck, the third one is a rest."""
    assert ill(CircuitBreaker(RULES), 2).health(0) is BreakerState.CLOSED
    assert ill(CircuitBreaker(RULES), 3).health(0) is BreakerState.OPEN


def test_a_breaker_opens_on_slow_calls():
    """Words that come too late count like none."""
    breaker = CircuitBreaker(RULES)
    for _ in range(3):
        breaker = breaker.well(1500, now=0.0)

    assert breaker.health(0) is BreakerState.OPEN


def test_few_bad_calls_among_many_good_ones_are_forgiven():
    """It takes a share, not only a number."""
    breaker = CircuitBreaker(RULES)
    for _ in range(10):
        breaker = breaker.well(100)

    assert ill(breaker, 5).health(0) is BreakerState.CLOSED


def test_a_rest_ends_in_a_probe_and_the_next_one_is_longer():
    """Five seconds, ten, twenty, and no longer than the longest; chance adds its share."""
    breaker, now, rests = ill(CircuitBreaker(RULES), 3), 0.0, []
    for _ in range(5):
        assert breaker.until is not None
        rests.append(breaker.until - now)
        assert breaker.health(breaker.until - 0.01) is BreakerState.OPEN
        assert breaker.health(breaker.until) is BreakerState.HALF_OPEN
        now = breaker.until
        breaker = breaker.ill(now, 0.0, probe=True)

    assert rests == [5, 10, 20, 30, 30]
    assert ill(CircuitBreaker(RULES), 2).ill(0.0, 1.0).until == 6.0


def test_a_good_probe_forgets_what_was():
    """The route is as good as new."""
    breaker = ill(CircuitBreaker(RULES), 3)

    assert breaker.well(100, now=6.0) == CircuitBreaker(RULES)


def test_echoes_of_calls_before_a_rest_do_not_prolong_it():
    """They fail when the rest is already over, and say nothing new."""
    breaker = ill(CircuitBreaker(RULES), 3)

    assert breaker.ill(6.0, 0.0).health(6.0) is BreakerState.HALF_OPEN


def test_percentiles_are_of_the_newest():
    """Old latencies are forgotten."""
    latencies = LatencyWindow(keep=20)
    assert latencies.percentile(0.5) is None
    for ms in [9999.0] * 5 + [float(ms) for ms in range(1, 21)]:
        latencies = latencies.hear(ms)

    assert (latencies.percentile(0.5), latencies.percentile(0.95)) == (10, 19)


def test_hedges_are_a_share_of_the_utterances():
    """After the burst, one in ten."""
    tokens, hedges = HedgeBudget(share=0.1, most=10, left=10), 0
    for _ in range(1000):
        tokens = tokens.earn()
        if (taken := tokens.take()) is not None:
            tokens, hedges = taken, hedges + 1

    assert 100 <= hedges <= 111
