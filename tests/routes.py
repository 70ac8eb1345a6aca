"""Scripted routes in virtual time."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from dataclasses import dataclass, field

import anyio
from anyio.lowlevel import checkpoint

from app.domain.audio import AudioChunk, ms
from app.domain.residency import Place
from app.domain.routing.cost import Price
from app.domain.routing.decision import DecisionRecord
from app.domain.routing.fleet import RouteSpec
from app.domain.routing.rules import RoutingRules
from app.domain.transcript import Hypothesis
from app.runtime.routing.ledger import SpendLedger
from app.runtime.routing.routes import Routes
from tests.fakes import EagerClock

CLIP = b"\7\0" * ms(500)
"""The clip of the probes: no user's chunk begins with a 7."""

CHUNK = b"\1\0" * ms(100)


@dataclass
class RouteEngine:
    """A Transcriber whose final counts the chunks it received, after a while; or that has one fault, at one point."""

    clock: EagerClock
    takes_s: float = 0.1
    error: Exception | None = None
    stalls: bool = False
    misses_words: bool = False
    """Its final is empty, whatever the audio."""
    answers_early: bool = False
    """Its final comes before the end of the audio."""
    ends_without_final: bool = False
    """Its stream ends without a final."""
    at: int | None = None
    """The fault comes after so many chunks; None: when the audio has ended."""
    confidence: float | None = None
    received: list[bytes] = field(default_factory=list)
    closed: int = 0

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        pcm, number, index = bytearray(), 0, len(self.received)
        self.received.append(b"")
        try:
            async for chunk in utterance:
                if number == self.at:
                    async for faulty in self._fault():
                        yield faulty
                    if self.misses_words or self.answers_early or self.ends_without_final:
                        return
                pcm += chunk.pcm
                number += 1
                self.received[index] = bytes(pcm)
            if self.at is None or self.at >= number:
                async for faulty in self._fault():
                    yield faulty
                if self.misses_words or self.answers_early or self.ends_without_final:
                    return
            await self.clock.sleep_until(self.clock.now() + self.takes_s)
            yield Hypothesis(f"{len(pcm) // len(CHUNK)} chunks", is_final=True, confidence=self.confidence)
        finally:
            self.closed += 1

    async def _fault(self) -> AsyncGenerator[Hypothesis, None]:
        if self.error:
            raise self.error
        if self.stalls:
            await anyio.sleep_forever()
        if self.misses_words or self.answers_early:
            yield Hypothesis("" if self.misses_words else "too early", is_final=True)


AWS = RouteSpec("aws", Place.CLOUD, Price(0.024, 15), live=True, expected_ms=200, quality=0.9)
JETSON = RouteSpec("jetson", Place.ON_PREM, expected_ms=300, quality=0.6)
LOCAL = RouteSpec("local", Place.ON_PREM, expected_ms=500, quality=0.5)


@dataclass
class ScriptedRoutes:
    """Routes with scripted engines, their clock, and the decisions they recorded."""

    routes: Routes
    clock: EagerClock
    engines: Mapping[str, RouteEngine]
    records: list[DecisionRecord]

    async def advance(self, seconds: float, step: float = 0.05) -> None:
        """Advance the clock in steps, and let every task run as far as it can after each."""
        for _ in range(round(seconds / step)):
            await settle()
            self.clock.advance(step)
        await settle()


async def settle() -> None:
    """Let every task run as far as it can at this time: no chain of tasks here is longer."""
    for _ in range(25):
        await checkpoint()


def scripted_routes(
    *specs: RouteSpec, rules: RoutingRules | None = None, clock: EagerClock | None = None, **engines
) -> ScriptedRoutes:
    clock = clock or EagerClock()
    made = {p.name: engines.get(p.name) or RouteEngine(clock) for p in specs}
    for engine in made.values():
        engine.clock = clock
    records: list[DecisionRecord] = []
    in_force = rules or RoutingRules()
    routes = Routes(
        specs,
        made,
        rules=lambda: in_force,
        clock=clock,
        chance=lambda: 0.0,
        clip=CLIP,
        ledger=SpendLedger(lambda: "2026-01-02"),
        record_decision=records.append,
    )
    return ScriptedRoutes(routes, clock, made, records)
