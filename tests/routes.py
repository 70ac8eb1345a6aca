"""Routes that obey a script, in virtual time."""

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
"""What probes send: no user's chunk begins with a 7."""

CHUNK = b"\1\0" * ms(100)


@dataclass
class RouteEngine:
    """A Transcriber that says how much it heard, after a while; or does one thing wrong, at one point."""

    clock: EagerClock
    takes_s: float = 0.1
    error: Exception | None = None
    stalls: bool = False
    lies: bool = False
    """It hears nothing where there were words."""
    hasty: bool = False
    """It answers before the end of the audio."""
    mute: bool = False
    """It ends without a final."""
    at: int | None = None
    """The fault comes after so many chunks; None: when the audio has ended."""
    confidence: float | None = None
    heard: list[bytes] = field(default_factory=list)
    closed: int = 0

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        pcm, number, index = bytearray(), 0, len(self.heard)
        self.heard.append(b"")
        try:
            async for chunk in utterance:
                if number == self.at:
                    async for faulty in self._fault():
                        yield faulty
                    if self.lies or self.hasty or self.mute:
                        return
                pcm += chunk.pcm
                number += 1
                self.heard[index] = bytes(pcm)
            if self.at is None or self.at >= number:
                async for faulty in self._fault():
                    yield faulty
                if self.lies or self.hasty or self.mute:
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
        if self.lies or self.hasty:
            yield Hypothesis("" if self.lies else "too early", is_final=True)


AWS = RouteSpec("aws", Place.CLOUD, Price(0.024, 15), live=True, expected_ms=200, quality=0.9)
JETSON = RouteSpec("jetson", Place.ON_PREM, expected_ms=300, quality=0.6)
LOCAL = RouteSpec("local", Place.ON_PREM, expected_ms=500, quality=0.5)


@dataclass
class Field:
    """Some routes, their clock, and what they left behind."""

    routes: Routes
    clock: EagerClock
    engines: Mapping[str, RouteEngine]
    records: list[DecisionRecord]

    async def advance(self, seconds: float, step: float = 0.05) -> None:
        """Let time go by, a little at a time, and everyone do what they can."""
        for _ in range(round(seconds / step)):
            await settle()
            self.clock.advance(step)
        await settle()


async def settle() -> None:
    """Everyone has done what they can without time going by: no chain of tasks here is longer."""
    for _ in range(25):
        await checkpoint()


def field_of(
    *profiles: RouteSpec, rules: RoutingRules | None = None, clock: EagerClock | None = None, **engines
) -> Field:
    clock = clock or EagerClock()
    made = {p.name: engines.get(p.name) or RouteEngine(clock) for p in profiles}
    for engine in made.values():
        engine.clock = clock
    records: list[DecisionRecord] = []
    in_force = rules or RoutingRules()
    routes = Routes(
        profiles,
        made,
        rules=lambda: in_force,
        clock=clock,
        chance=lambda: 0.0,
        clip=CLIP,
        ledger=SpendLedger(lambda: "2026-01-02"),
        record_decision=records.append,
    )
    return Field(routes, clock, made, records)
