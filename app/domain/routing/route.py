"""Which engine made a final, where, and why that one."""

from dataclasses import dataclass

from app.domain.residency import Place


@dataclass(frozen=True, slots=True)
class Route:
    """A configured engine for finals; beside a final, also how the policy came to it."""

    name: str
    place: Place
    why: str = ""
    """One sentence for people: why the policy chose it."""
    hedged: bool = False
    """A second route was started in parallel to a slow one."""
    latency_ms: int | None = None
    """From the end of the audio, or of the failure before, to the final."""
    cost_usd: float | None = None
    """Of all routes that were asked."""
