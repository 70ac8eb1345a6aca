"""Who a client belongs to, and what it may do there."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

from app.domain.residency import Residency


@dataclass(frozen=True, slots=True)
class Tenant:
    """What is None is as the service has it for everyone."""

    name: str = "default"
    keys: tuple[str, ...] = ()
    """Fingerprints of its keys; any of them opens the door."""
    operator: bool = False
    """May look after all tenants: their recordings, the policy, the metrics."""
    max_sessions: int | None = None
    budget_usd_per_day: float | None = None
    archive: bool | None = None
    """Whether a session that does not say is kept."""
    keep_days: int | None = None
    """Days after which its recordings are deleted; 0 keeps all."""
    place: Residency = Residency.CLOUD_OK
    """Where its sessions may be heard; none of them can ask for more."""

    def may_see(self, owner: str) -> bool:
        """Whether what belongs to the tenant of this name may be shown to this one."""
        return self.operator or self.name == owner


OPEN = Tenant(operator=True)
"""Everyone, where no key is asked for."""


def fingerprint(key: str) -> str:
    """What is written down of a key.

    One round of SHA-256, with no salt: a key is 256 random bits, so there is no list of likely
    ones to try against a stolen file, which is what salt and slow hashes are for. A password
    that somebody thought of must not be used as a key.
    """
    return f"sha256:{sha256(key.encode()).hexdigest()}"


def identify(key: str, tenants: Iterable[Tenant]) -> Tenant | None:
    """Whose key this is. How long that takes says nothing about the keys there are but their number."""
    presented, found = fingerprint(key), None
    for tenant in tenants:
        for known in tenant.keys:
            if compare_digest(presented, known):
                found = tenant
    return found
