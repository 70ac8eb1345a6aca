"""Who makes finals, and where."""

from dataclasses import dataclass

from app.domain.residency import Place


@dataclass(frozen=True, slots=True)
class Route:
    """A configured engine for finals; behind a final, also how it came to be that one."""

    name: str
    place: Place
    why: str = ""
    """One sentence for people: what spoke for it."""
    hedged: bool = False
    """Another route was asked beside it."""
    latency_ms: int | None = None
    """From the end of the audio, or of the failure before, to the final."""
    cost_usd: float | None = None
    """Of all routes that were asked."""
