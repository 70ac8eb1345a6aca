"""Sliding window of a route's newest latencies, with percentiles."""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class LatencyWindow:
    """The newest latencies of a route. A latency counts from the end of the audio to the final."""

    newest: tuple[float, ...] = ()
    """Milliseconds, oldest first."""
    keep: int = 64
    ordered: tuple[float, ...] = ()
    """The same, smallest first: they are asked for more often than they change."""

    def hear(self, ms: float) -> "LatencyWindow":
        newest = (*self.newest, ms)[-self.keep :]
        return LatencyWindow(newest, self.keep, tuple(sorted(newest)))

    def percentile(self, share: float) -> float | None:
        """The latency that so large a share of calls stays within; None before the first call."""
        if not self.ordered:
            return None
        return self.ordered[max(0, ceil(share * len(self.ordered)) - 1)]
