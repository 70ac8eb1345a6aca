"""Load that workers report is polled, and lowers their rank."""

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest

from app.domain.errors import ProviderDown
from app.domain.residency import Place
from app.domain.routing.cost import Price
from app.domain.routing.fleet import RouteSpec
from app.domain.routing.load import EngineLoad
from app.domain.routing.request import RouteRequest
from app.domain.routing.rules import RoutingRules
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.routing.routes import POLL_TIMEOUT_S, Routes
from app.runtime.worker import Worker
from app.web.openai.worker import create_worker
from providers.openai.transcription import open_transcription
from tests.emulators.faulty import Fault, serve_faults
from tests.eventually import until
from tests.fakes import EagerClock, ScriptedDetector, ScriptedTranscriber
from tests.routes import settle
from tests.serving import serving

pytestmark = pytest.mark.anyio


def route_spec(name: str, expected_ms: float = 500) -> RouteSpec:
    return RouteSpec(name, Place.ON_PREM, Price(), expected_ms=expected_ms)


def first(routes: Routes) -> str:
    return routes.rank(RouteRequest(4.0, "en")).best.name


@asynccontextmanager
async def two_workers():
    """Their queues, and a gateway's routes to them, which are maintained."""
    queues = [AdmissionQueue("worker", SystemClock(), 1, 8) for _ in range(2)]
    async with AsyncExitStack() as stack:
        engines = {}
        for n, queue in enumerate(queues):
            worker = Worker("tiny", ScriptedTranscriber(), ScriptedTranscriber(), ScriptedDetector(), queue, "en")
            address = await stack.enter_async_context(serving(create_worker(worker)))
            engines[f"worker-{n}"] = await stack.enter_async_context(opened(f"http://{address}/v1"))
        rules = RoutingRules()
        routes = Routes(
            tuple(map(route_spec, engines)), engines, lambda: rules, SystemClock(), Random(1).random, reporting=engines
        )
        routes.last_used = dict.fromkeys(engines, SystemClock().now())  # they need no warming
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(routes.maintain)
        yield queues, routes
        tasks.cancel_scope.cancel()


def opened(base_url: str):
    return open_transcription(provider_name="worker", base_url=base_url, api_key="", model="tiny")


async def test_load_of_other_gateways_lowers_the_rank_of_a_worker():
    """Its queue counts, within a second or two, and is forgotten when it is gone."""
    async with two_workers() as (queues, routes):
        before = first(routes)
        async with queues[0].slot(), anyio.create_task_group() as line:

            async def wait() -> None:
                async with queues[0].slot():
                    pass

            line.start_soon(wait)
            await until(lambda: is_true(routes.states["worker-0"].in_flight_elsewhere == 2))
            busy = first(routes)
            seen = routes.fleet("en")[0]
            line.cancel_scope.cancel()
        await until(lambda: is_true(routes.states["worker-0"].in_flight_elsewhere == 0))
        after = first(routes)

    assert (before, busy, after) == ("worker-0", "worker-1", "worker-0")
    assert (seen.in_flight, seen.at_once, seen.expected_ms) == (2, 1, 1500)


async def is_true(value: bool) -> bool:
    return value


@dataclass
class Reporter:
    """Says what it is told to, and counts how often it is asked."""

    says: EngineLoad | None = None
    error: Exception | None = None
    hangs: bool = False
    asked: list[float] = field(default_factory=list)

    async def load(self) -> EngineLoad | None:
        self.asked.append(self.clock.now())
        if self.hangs:
            await anyio.sleep_forever()
        if self.error:
            raise self.error
        return self.says


async def watched(reporter: Reporter, seconds: float) -> Routes:
    """Routes that were tended for so long, in virtual time."""
    reporter.clock = clock = EagerClock()
    rules = RoutingRules()
    routes = Routes(
        (route_spec("worker"),),
        {"worker": ScriptedTranscriber()},
        lambda: rules,
        clock,
        lambda: 0.0,
        reporting={"worker": reporter},
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(routes.maintain)
        for _ in range(round(seconds * 4)):
            await settle()
            clock.advance(0.25)
        await settle()
        tasks.cancel_scope.cancel()
    return routes


async def test_worker_load_is_polled_once_a_second():
    """And what it measured stands in until there is something of our own."""
    reporter = Reporter(EngineLoad(0, 2, 120.0, 300.0))
    routes = await watched(reporter, 10)

    assert 9 <= len(reporter.asked) <= 11
    assert routes.fleet("en")[0].at_once == 2


async def test_server_without_load_is_polled_again_after_ten_minutes():
    """Asked when the gateway starts, and not again within ten minutes."""
    reporter = Reporter()
    await watched(reporter, 500)

    assert len(reporter.asked) == 1


async def test_failed_load_poll_does_not_open_the_circuit_breaker():
    """Its breaker is for calls; what it said before is forgotten."""
    reporter = Reporter(error=ProviderDown("worker", "gone"))
    routes = await watched(reporter, 20)

    assert 4 <= len(reporter.asked) <= 5
    assert routes.states["worker"].load is None
    assert routes.states["worker"].breaker.failures.count(True) == 0


async def test_load_poll_has_a_timeout():
    """The question has a time limit, and only one is on its way."""
    reporter = Reporter(hangs=True)
    rules = RoutingRules()
    reporter.clock = SystemClock()
    routes = Routes(
        (route_spec("worker"),),
        {"worker": ScriptedTranscriber()},
        lambda: rules,
        reporter.clock,
        lambda: 0.0,
        reporting={"worker": reporter},
    )
    with anyio.move_on_after(POLL_TIMEOUT_S + 0.5):
        await routes.maintain()

    assert len(reporter.asked) == 1
    assert routes.next_poll["worker"] > reporter.clock.now()


@pytest.mark.parametrize(
    "fault",
    [Fault(status=404), Fault(status=200, body=b"<html>"), Fault(status=200, body=b'{"queue": "long"}'), Fault(401)],
    ids=["none", "a page", "another", "a login"],
)
async def test_load_of_a_server_without_health_page_is_none(fault):
    """A missing page, a web page, another's health page."""
    async with serve_faults(fault) as url, opened(f"{url}/v1") as engine:
        assert await engine.load() is None


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(resets=True)], ids=["busy", "reset"])
async def test_load_poll_of_a_failing_server_raises(fault):
    """It is an error, not an answer."""
    async with serve_faults(fault) as url, opened(f"{url}/v1") as engine:
        with pytest.raises(ProviderDown):
            await engine.load()
