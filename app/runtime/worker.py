"""One engine, and the line in front of it: so many at work, so many waiting, the next one is sent away."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from app.domain.errors import ProviderBusy
from app.domain.ports import Clock, SpeechDetector, Transcriber
from app.domain.routing.latency import LatencyWindow


@dataclass(slots=True)
class AdmissionQueue:
    """Nobody waits behind a full line: whoever sent them has other engines to ask."""

    name: str
    clock: Clock
    at_once: int
    waiting: int
    """Most that may wait."""
    inside: int = 0
    """At work or waiting."""
    latencies: LatencyWindow = field(default_factory=LatencyWindow)
    _slots: anyio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        self._slots = anyio.CapacityLimiter(self.at_once)

    @property
    def is_full(self) -> bool:
        return self.inside >= self.at_once + self.waiting

    @property
    def retry_after_s(self) -> int:
        """When a place is likely to be free."""
        return max(1, round((self.latencies.percentile(0.5) or 1000) * self.inside / self.at_once / 1000))

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None, None]:
        """A place at work, in the order of arrival. Raises ProviderBusy where the line is full."""
        if self.is_full:
            raise ProviderBusy(self.name, "has no room")
        self.inside += 1
        began = self.clock.now()
        try:
            async with self._slots:
                yield
            self.latencies = self.latencies.hear((self.clock.now() - began) * 1000)
        finally:
            self.inside -= 1


@dataclass(frozen=True, slots=True)
class Worker:
    """What `parley worker` offers."""

    model: str
    transcriber: Transcriber
    detector: SpeechDetector
    queue: AdmissionQueue
    language: str | None = None
