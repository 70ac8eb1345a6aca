"""Circuit breaker, latency window and hedge budget, with time and chance given."""

from app.domain.routing.circuit_breaker import BreakerState, CircuitBreaker, CircuitBreakerRules
from app.domain.routing.cost import HedgeBudget
from app.domain.routing.latency import LatencyWindow

RULES = CircuitBreakerRules(min_failures=3, failure_share=0.5, slow_ms=1000, open_s=5, max_open_s=30, jitter=0.2)


def failed(breaker: CircuitBreaker, times: int, now: float = 0.0) -> CircuitBreaker:
    for _ in range(times):
        breaker = breaker.record_failure(now, 0.0)
    return breaker


def test_circuit_breaker_opens_on_errors():
    """Not at the second failure, at the third."""
    assert failed(CircuitBreaker(RULES), 2).state(0) is BreakerState.CLOSED
    assert failed(CircuitBreaker(RULES), 3).state(0) is BreakerState.OPEN


def test_circuit_breaker_opens_on_slow_calls():
    """A final that comes too late counts as a failure."""
    breaker = CircuitBreaker(RULES)
    for _ in range(3):
        breaker = breaker.record_success(1500, now=0.0)

    assert breaker.state(0) is BreakerState.OPEN


def test_circuit_breaker_stays_closed_on_few_failures_among_many_successes():
    """It takes a share of the calls, not only a number."""
    breaker = CircuitBreaker(RULES)
    for _ in range(10):
        breaker = breaker.record_success(100)

    assert failed(breaker, 5).state(0) is BreakerState.CLOSED


def test_circuit_breaker_is_half_open_after_its_time_and_stays_open_longer_after_each_failed_probe():
    """Five seconds, ten, twenty, and no longer than the maximum; chance adds its share."""
    breaker, now, open_s = failed(CircuitBreaker(RULES), 3), 0.0, []
    for _ in range(5):
        assert breaker.open_until is not None
        open_s.append(breaker.open_until - now)
        assert breaker.state(breaker.open_until - 0.01) is BreakerState.OPEN
        assert breaker.state(breaker.open_until) is BreakerState.HALF_OPEN
        now = breaker.open_until
        breaker = breaker.record_failure(now, 0.0, probe=True)

    assert open_s == [5, 10, 20, 30, 30]
    assert failed(CircuitBreaker(RULES), 2).record_failure(0.0, 1.0).open_until == 6.0


def test_circuit_breaker_closes_after_a_successful_probe():
    """And forgets the failures before."""
    breaker = failed(CircuitBreaker(RULES), 3)

    assert breaker.record_success(100, now=6.0) == CircuitBreaker(RULES)


def test_circuit_breaker_is_not_opened_again_by_calls_that_began_before_it_opened():
    """They fail when it is half-open already, and say nothing new."""
    breaker = failed(CircuitBreaker(RULES), 3)

    assert breaker.record_failure(6.0, 0.0).state(6.0) is BreakerState.HALF_OPEN


def test_latency_percentiles_are_of_the_newest_calls():
    """Old latencies leave the window."""
    latencies = LatencyWindow(size=20)
    assert latencies.percentile(0.5) is None
    for ms in [9999.0] * 5 + [float(ms) for ms in range(1, 21)]:
        latencies = latencies.observe(ms)

    assert (latencies.percentile(0.5), latencies.percentile(0.95)) == (10, 19)


def test_hedge_budget_allows_a_share_of_the_utterances():
    """After the burst, one in ten."""
    budget, hedges = HedgeBudget(per_utterance=0.1, capacity=10, tokens=10), 0
    for _ in range(1000):
        budget = budget.refill()
        if (taken := budget.take()) is not None:
            budget, hedges = taken, hedges + 1

    assert 100 <= hedges <= 111
