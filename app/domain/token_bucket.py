"""Token bucket: so much per second on average, and a burst above it."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """Begins full. The caller says what time it is, in seconds on any clock that only goes forward."""

    rate: float
    """Tokens per second that flow in."""
    burst: float
    """Most that it holds."""
    updated_at: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def take(self, now: float, amount: float = 1.0) -> float:
        """Take so many tokens, where they are there. Returns the seconds until they are; 0: they are taken."""
        self._refill(now)
        if self.tokens >= amount:
            self.tokens -= amount
            return 0.0
        return (amount - self.tokens) / self.rate

    def charge(self, now: float, amount: float) -> float:
        """Take so many tokens in any case. Returns the seconds until the debt is paid off; 0: there is none."""
        self._refill(now)
        self.tokens -= amount
        return max(0.0, -self.tokens / self.rate)

    def _refill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + self.rate * max(0.0, now - self.updated_at))
        self.updated_at = now
