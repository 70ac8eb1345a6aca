"""Slows down whoever presents wrong keys: a token bucket for each address."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from app.runtime.authentication import Peer

BURST = 20
"""Wrong keys that an address may present at once."""
REFILL_EVERY_S = 3.0
"""One more, after so long."""
MAX_ADDRESSES = 10_000
"""Whose failures are remembered; the address that failed longest ago is forgotten."""


@dataclass(slots=True)
class FailedAttempts:
    """Wrong keys of late, by address. A right key is never refused: behind one address there may be many clients."""

    now: Callable[[], float]
    """Seconds, of a clock that never runs backwards."""
    _full_at: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """When the bucket of an address is full again; the one that failed longest ago first."""

    def retry_after_s(self, peer: Peer) -> int:
        """Count one wrong key. 0, or where its network has presented too many, the seconds it should wait."""
        if not peer.is_limited:
            return 0
        now, key = self.now(), peer.network
        full_at = max(now, self._full_at.pop(key, now)) + REFILL_EVERY_S
        excess_s = full_at - now - BURST * REFILL_EVERY_S
        self._full_at[key] = min(full_at, now + BURST * REFILL_EVERY_S)
        if len(self._full_at) > MAX_ADDRESSES:
            self._full_at.popitem(last=False)
        return max(0, ceil(excess_s))
