"""Load that a remote engine reports about itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy a remote engine says it is, with the work of all its clients."""

    queue: int
    """Finals at work or waiting."""
    at_once: int
    """Finals it works on concurrently."""
    p50_ms: float | None = None
    p95_ms: float | None = None
