"""The token that a call's audio brings along from the webhook's answer, which proves that the webhook was signed."""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LIFETIME_S = 120
"""From the webhook's answer to the first message of the call's audio."""


@dataclass(slots=True)
class CallTokens:
    """Each works once in this process, and for its own call; any process with the same secret accepts it."""

    secret: str
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    _used: dict[str, float] = field(default_factory=dict)
    """When each used one expires."""

    def issue(self, call: str) -> str:
        expires = str(int(self.clock()) + LIFETIME_S)
        return f"{expires}.{self._seal(call, expires)}"

    def accept(self, call: str, token: str) -> bool:
        """Whether it was issued for this call, is not used and has not expired. From now on it is used."""
        now = self.clock()
        self._used = {used: expires for used, expires in self._used.items() if expires >= now}
        expires, _, seal = token.partition(".")
        if not hmac.compare_digest(self._seal(call, expires).encode(), seal.encode()):
            return False
        if int(expires) < now or token in self._used:
            return False
        self._used[token] = int(expires)
        return True

    def _seal(self, call: str, expires: str) -> str:
        return hmac.digest(self.secret.encode(), f"parley call {call} {expires}".encode(), "sha256").hex()
