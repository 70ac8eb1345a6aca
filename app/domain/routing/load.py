"""Load that a remote engine reports about itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy an engine elsewhere says it is, with everybody's work."""

    queue: int
    """Finals at work or waiting."""
    at_once: int
    p50_ms: float | None = None
    p95_ms: float | None = None
