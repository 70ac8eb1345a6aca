"""API keys: what is stored of one, and whether it is in force."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Scope
from app.domain.tenant import fingerprint, key_id_of


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: its fingerprint, never its secret. Times are in UTC."""

    id: str
    """The beginning of the fingerprint: it names the key in lists and logs, and is no secret."""
    fingerprint: str
    name: str
    """For people and for the log."""
    tenant: str
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None = None
    """None: it does not expire."""
    revoked: datetime | None = None
    last_used: datetime | None = None
    """To the minute."""

    def is_active(self, now: datetime) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "active" if self.is_active(now) else "expired"


def parse_key_name(text: str) -> str:
    """The same name, of a key or a token, where people and terminals can show it. Raises ClientError."""
    if not text.isprintable():
        raise ClientError(ClientFault.BAD_MESSAGE, "the name has characters that cannot be printed")
    return text


def new_api_key(
    secret: str, name: str, tenant: str, scopes: frozenset[Scope], created: datetime, expires: datetime | None
) -> ApiKey:
    """What is stored of a new key with this secret. Raises ClientError for a name that cannot be printed."""
    mark = fingerprint(secret)
    return ApiKey(key_id_of(mark), mark, parse_key_name(name), tenant, scopes, created, expires)


def key_fields(key: ApiKey, now: datetime) -> dict[str, str | list[str] | None]:
    """What is shown of a key, as `GET /admin/keys` answers it; never its fingerprint."""
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "state": key.state(now),
        "created": _text(key.created),
        "expires": _text(key.expires),
        "revoked": _text(key.revoked),
        "lastUsed": _text(key.last_used),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
