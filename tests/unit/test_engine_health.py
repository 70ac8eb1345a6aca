"""Circuit breakers and probes of reply engines and voices, in virtual time."""

import anyio
import pytest
from structlog.testing import capture_logs

from app.domain.errors import ProviderDown, RequestRefused
from app.domain.routing.circuit_breaker import BreakerState, CircuitBreakerRules
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.supervision import defects
from tests.fakes import EagerClock

pytestmark = pytest.mark.anyio

RULES = CircuitBreakerRules(min_failures=3, open_s=5, jitter=0)


def tripped(clock: EagerClock) -> EngineHealth:
    health = EngineHealth(["a", "b"], clock, lambda: 0.0, RULES)
    for _ in range(3):
        health.failed("a")
    return health


async def probed(health: EngineHealth, clock: EagerClock, probe) -> int:
    """How often it was probed in the time of one probe after the open time."""
    count = 0

    async def counting() -> bool:
        nonlocal count
        count += 1
        return await probe()

    clock.advance(5.1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(health.probe_loop, {"a": counting, "b": counting})
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    return count


async def test_failures_open_the_breaker_of_one_engine_alone():
    """It is logged once, by its name."""
    with capture_logs() as lines:
        health = tripped(EagerClock())
        health.failed("a")

    assert (health.state("a"), health.state("b")) == (BreakerState.OPEN, BreakerState.CLOSED)
    assert [(line["event"], line["engine"]) for line in lines] == [("circuit breaker open", "a")]


async def test_an_engine_whose_first_output_is_slow_counts_as_failed():
    health = EngineHealth(["a"], EagerClock(), lambda: 0.0, RULES)
    for _ in range(3):
        health.answered("a", RULES.slow_ms + 1)

    assert health.state("a") is BreakerState.OPEN


async def test_an_engine_that_was_left_before_its_output_counts_only_where_it_was_slow():
    """Users who interrupt a silent engine must not hide that it hangs; those who interrupt at once prove nothing."""
    health = EngineHealth(["a", "b"], EagerClock(), lambda: 0.0, RULES)
    for _ in range(3):
        health.abandoned("a", RULES.slow_ms + 1)
        health.abandoned("b", 100)

    assert (health.state("a"), health.state("b")) == (BreakerState.OPEN, BreakerState.CLOSED)


async def test_a_successful_probe_closes_the_breaker():
    """Only the half-open engine is probed, once at a time."""
    clock = EagerClock()
    health = tripped(clock)

    async def works() -> bool:
        return True

    assert await probed(health, clock, works) == 1
    assert health.state("a") is BreakerState.CLOSED


@pytest.mark.parametrize("error", [ProviderDown("a", "gone"), KeyError("a defect")])
async def test_a_failed_probe_opens_the_breaker_again_for_longer(error):
    """A defect of the engine is counted, and ends nothing."""
    clock, before = EagerClock(), defects["engine_probe"]
    health = tripped(clock)

    async def fails() -> bool:
        raise error

    await probed(health, clock, fails)

    assert health.state("a") is BreakerState.OPEN
    assert health.breakers["a"].open_until == pytest.approx(clock.now() + 10)
    assert defects["engine_probe"] == before + isinstance(error, KeyError)


async def test_a_probe_that_is_refused_shows_that_the_engine_works():
    clock = EagerClock()
    health = tripped(clock)

    async def refuses() -> bool:
        raise RequestRefused("a", "not this")

    await probed(health, clock, refuses)

    assert health.state("a") is BreakerState.CLOSED


async def test_a_probe_that_did_not_run_changes_nothing():
    """As where it costs money that is spent."""
    clock = EagerClock()
    health = tripped(clock)

    async def is_too_dear() -> bool:
        return False

    assert await probed(health, clock, is_too_dear) == 1
    assert health.state("a") is BreakerState.HALF_OPEN
