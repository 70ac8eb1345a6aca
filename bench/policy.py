"""Overhead of routing per utterance (ranking, hedging, accounting): `python -m bench.policy`."""

import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from random import Random
from time import perf_counter, thread_time

import anyio

from app.domain.audio import AudioChunk, ms
from app.domain.residency import Place, Residency
from app.domain.routing.cost import Budgets, Price
from app.domain.routing.fleet import RouteSpec, initial_state
from app.domain.routing.rank import rank
from app.domain.routing.request import RouteRequest
from app.domain.routing.rules import RoutingRules
from app.domain.transcript import Hypothesis
from app.runtime.clock import SystemClock
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals

SPECS = (
    RouteSpec("local", Place.ON_PREM, expected_ms=400),
    RouteSpec("jetson-1", Place.ON_PREM, expected_ms=300),
    RouteSpec("jetson-2", Place.ON_PREM, expected_ms=300),
    RouteSpec("aws", Place.CLOUD, Price(0.024, 15), expected_ms=250),
    RouteSpec("openai", Place.CLOUD, Price(0.006), expected_ms=500),
)
RULES = RoutingRules(budgets=Budgets(day=10.0))
PCM = b"\1\0" * ms(100)


class AtOnce:
    """A Transcriber that takes no time: what is left is ours."""

    async def transcribe(
        self, utterance: AsyncIterator[AudioChunk], *, language: str | None = None
    ) -> AsyncIterator[Hypothesis]:
        async for _ in utterance:
            pass
        yield Hypothesis("words", is_final=True, language=language)


def ranking(rounds: int) -> list[float]:
    """Microseconds of each decision over five routes with full histories."""
    chance, times = Random(1), []
    states = []
    for spec in SPECS:
        one = initial_state(spec)
        for _ in range(64):
            one = one.answered(chance.uniform(100, 900), 0.0, 0.0)
        states.append(one)
    for _ in range(rounds):
        began = perf_counter()
        fleet = tuple(one.candidate(0.0, "en") for one in states)
        rank(RouteRequest(4.0, "en"), fleet, RULES)
        times.append((perf_counter() - began) * 1e6)
    return times


async def _audio() -> AsyncIterator[AudioChunk]:
    for number in range(40):
        yield AudioChunk(PCM, number * ms(100))


async def _transcribe(engine: object, *, routed: SessionFinals | None) -> None:
    if routed is None:
        source = engine.transcribe(_audio(), language="en")  # type: ignore[attr-defined]  # because it is AtOnce
    else:
        request = routed.open(1, "en", Residency.CLOUD_OK)
        request.confirm_endpoint()
        source = request.transcribe(_audio(), language="en")
    async with aclosing(source) as hypotheses:
        async for hypothesis in hypotheses:
            if routed is not None:
                request.record_shown(hypothesis, request.route)


async def overhead(rounds: int, clock: Callable[[], float]) -> list[float]:
    """Microseconds that the router adds to a final, one utterance of four seconds at a time."""
    engine = AtOnce()
    routes = Routes(SPECS, {p.name: engine for p in SPECS}, lambda: RULES, SystemClock(), Random(1).random)  # type: ignore[misc]
    session = SessionFinals(routes, "s")
    bare: list[float] = []
    routed: list[float] = []
    for _ in range(rounds):
        for into, way in ((bare, None), (routed, session)):
            began = clock()
            await _transcribe(engine, routed=way)
            into.append((clock() - began) * 1e6)
    usual = statistics.median(bare)
    return [time - usual for time in routed]


def main() -> None:
    figures = (
        ("rank five routes", ranking(5000)),
        ("a whole final, wall", anyio.run(overhead, 3000, perf_counter)),
        ("a whole final, CPU", anyio.run(overhead, 3000, thread_time)),
    )
    for name, times in figures:
        cuts = statistics.quantiles(times, n=1000)
        print(f"{name:20} p50 {cuts[499]:7.0f} us   p99 {cuts[989]:7.0f} us   p99.9 {cuts[998]:7.0f} us")


if __name__ == "__main__":
    main()
