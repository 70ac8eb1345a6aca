"""Tenants: quotas, residency and permissions of a client, and authentication by API key."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

from app.domain.residency import Residency

MAX_KEEP_DAYS = 36_500
"""The longest retention that can be asked for; a date that many days ago still is a date."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Quotas and permissions of one tenant; None takes the default of the service."""

    name: str = "default"
    keys: tuple[str, ...] = ()
    """Fingerprints of its keys; any of them authenticates it."""
    operator: bool = False
    """Its keys are administrators': what belongs to all tenants, the policy, the metrics."""
    max_sessions: int | None = None
    max_conversations: int | None = None
    """That are kept at once; 0 is no limit."""
    budget_usd_per_day: float | None = None
    archive: bool | None = None
    """Whether a session is recorded where the client does not say."""
    keep_days: int | None = None
    """Days after which its recordings are deleted; 0 keeps all."""
    place: Residency = Residency.CLOUD_OK
    """Where the audio of its sessions may be processed; a session can only restrict it further."""
    profiles: tuple[str, ...] | None = None
    """The profiles that its clients may choose; None: all."""
    languages: tuple[str, ...] = ()
    """Codes of those that may be spoken where neither a profile nor a client says; none: as the settings have it."""
    key_terms: tuple[str, ...] = ()
    """Names and jargon that are likely in the audio of its sessions, besides a profile's and a client's own."""
    vocabulary: str | None = None
    """Name of the custom vocabulary that cloud engines use for it; None: the route's own."""


DEFAULT_TENANT = Tenant()
"""Whose it is where there is no authentication, and what was recorded before there were tenants."""


def fingerprint(key: str) -> str:
    """SHA-256 fingerprint of a key, as stored in the tenants file.

    One round of SHA-256, with no salt: a key is 256 random bits, so there is no list of likely
    ones to try against a stolen file, which is what salt and slow hashes are for. A password
    that somebody thought of must not be used as a key.
    """
    return f"sha256:{sha256(key.encode()).hexdigest()}"


def key_id_of(key_fingerprint: str) -> str:
    """The first twelve hex digits of a fingerprint: they name a key in lists and logs, and are no secret."""
    return key_fingerprint.removeprefix("sha256:")[:12]


def identify(key: str, tenants: Iterable[Tenant]) -> Tenant | None:
    """The tenant whose key this is, compared in constant time for a given number of keys; None: an unknown key."""
    presented, found = fingerprint(key), None
    for tenant in tenants:
        for known in tenant.keys:
            if compare_digest(presented, known):
                found = tenant
    return found
