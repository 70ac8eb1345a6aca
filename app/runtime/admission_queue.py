"""AdmissionQueue: bounded concurrency with a bounded queue in front of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from app.domain.errors import ProviderBusy
from app.domain.ports import Clock
from app.domain.routing.latency import LatencyWindow
from app.runtime.tracing import tracer


@dataclass(slots=True)
class AdmissionQueue:
    """So many requests at work, so many waiting; one more is refused at once, because its sender has other engines."""

    name: str
    clock: Clock
    concurrency: int
    """Most requests at work at once."""
    max_waiting: int
    pending: int = 0
    """Requests at work or waiting."""
    latencies: LatencyWindow = field(default_factory=LatencyWindow)
    """Of requests that succeeded, their wait in the queue included."""
    _slots: anyio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        self._slots = anyio.CapacityLimiter(self.concurrency)

    @property
    def is_full(self) -> bool:
        return self.pending >= self.concurrency + self.max_waiting

    @property
    def retry_after_s(self) -> int:
        """When a slot is likely to be free, at least one second."""
        return max(1, round((self.latencies.percentile(0.5) or 1000) * self.pending / self.concurrency / 1000))

    def require_room(self) -> None:
        """Raises ProviderBusy where too many wait already."""
        if self.is_full:
            raise ProviderBusy(self.name, "has no room", retry_after_s=self.retry_after_s)

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None, None]:
        """Wait for a slot, in the order of arrival, and hold it. Raises ProviderBusy where too many wait already."""
        self.require_room()
        self.pending += 1
        began = self.clock.now()
        try:
            with tracer.start_as_current_span("queue_wait"):
                await self._slots.acquire()
            try:
                yield
            finally:
                self._slots.release()
            self.latencies = self.latencies.observe((self.clock.now() - began) * 1000)
        finally:
            self.pending -= 1
