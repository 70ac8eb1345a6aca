"""Sliding window of a route's newest latencies, with percentiles."""

from dataclasses import dataclass

from app.domain.percentile import percentile_of_sorted


@dataclass(frozen=True, slots=True)
class LatencyWindow:
    """The newest latencies of a route. A latency counts from the end of the audio to the final."""

    newest: tuple[float, ...] = ()
    """Milliseconds, oldest first."""
    size: int = 64
    ascending: tuple[float, ...] = ()
    """The same, sorted: percentiles are read more often than latencies are added."""

    def observe(self, ms: float) -> "LatencyWindow":
        newest = (*self.newest, ms)[-self.size :]
        return LatencyWindow(newest, self.size, tuple(sorted(newest)))

    def percentile(self, share: float) -> float | None:
        """The latency that this share of calls (0 to 1) stays within; None before the first call."""
        return percentile_of_sorted(self.ascending, share)
