"""API keys in the database, and a snapshot of them in memory that is at most two seconds old."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import structlog
from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import DATABASE_ERRORS, UNAVAILABLE, as_busy, reopen, stored_moment, transaction
from app.data.tables import ApiKeyRow, SigningSecretRow
from app.domain.api_key import ApiKey, new_api_key
from app.domain.errors import KeyNameTaken, ProviderDown
from app.domain.principal import Scope

REFRESH_EVERY_S = 1.0
"""A revocation by another process holds here after this and the time of one query."""

MAX_AGE_S = 300.0
"""How old the snapshot may become while the database is unavailable: longer than a failover takes. After that no key
of the database is accepted, because a revocation could not be seen."""

FULL_READ_EVERY_S = 60.0
"""In between, the keys are read only where one was created or revoked. Times of last use are written as often."""

_FIRST_KID = "1"

_log = structlog.get_logger("parley.keys")


@dataclass(slots=True)
class KeyStore:
    """Creates, lists and revokes keys; finds one by its fingerprint or id in the snapshot."""

    engine: AsyncEngine
    signing_secrets: Mapping[str, bytes] = field(default_factory=dict)
    """By key id (`kid`), the newest last."""
    _by_id: Mapping[str, ApiKey] = field(default_factory=dict)
    _by_fingerprint: Mapping[str, ApiKey] = field(default_factory=dict)
    _stamp: tuple[Any, ...] = ()
    """Of the snapshot: it differs after every creation and revocation."""
    _fresh_at: float = float("-inf")
    """When the snapshot was last known to be that of the database."""
    _read_at: float = float("-inf")
    _used: dict[str, datetime] = field(default_factory=dict)
    """Times of last use that are not written yet; at most one for each key."""
    is_available: bool = False
    """Whether the database answered the last refresh."""

    def find(self, key_fingerprint: str) -> ApiKey | None:
        """The key with this fingerprint, active or not. Raises ProviderDown where the snapshot is too old to say.

        The lookup is by SHA-256 of what was presented: its time says nothing about a stored key's secret.
        """
        return self._certain(self._by_fingerprint.get(key_fingerprint))

    def find_by_id(self, key_id: str) -> ApiKey | None:
        """The key with this id, active or not. Raises ProviderDown where the snapshot is too old to say."""
        return self._certain(self._by_id.get(key_id))

    def all_keys(self) -> Sequence[ApiKey]:
        """Every key of the snapshot, expired and revoked ones too, the oldest first."""
        return sorted(self._by_id.values(), key=lambda key: (key.created, key.id))

    def mark_used(self, key: ApiKey, now: datetime) -> None:
        """Remember the time of last use; it is written within a minute."""
        self._used[key.id] = now

    async def create(
        self, name: str, tenant: str, scopes: frozenset[Scope], expires: datetime | None
    ) -> tuple[str, ApiKey]:
        """A new key: its secret, which is not stored, and what is.

        Raises KeyNameTaken, ProviderBusy, and ClientError for a name that cannot be printed.
        """
        secret, now = new_secret(), datetime.now(UTC)
        key = new_api_key(secret, name, tenant, scopes, now, expires)
        same_name = select(ApiKeyRow.__table__).where(ApiKeyRow.name == name, ApiKeyRow.tenant == tenant)
        with as_busy("keys"):
            async with transaction(self.engine) as connection:
                if taken := [row.id for row in await connection.execute(same_name) if _key(row).is_active(now)]:
                    raise KeyNameTaken(
                        f"the tenant {tenant} has an active key {name} ({taken[0]}): revoke it or choose another name"
                    )
                await connection.execute(insert(ApiKeyRow), [_row(key)])
            await self.refresh(force=True)
        return secret, key

    async def revoke(self, key_id: str) -> bool:
        """Whether there is such a key; it is revoked for good. Raises ProviderBusy."""
        query = update(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked.is_(None))
        with as_busy("keys"):
            async with transaction(self.engine) as connection:
                await connection.execute(query.values(revoked=stored_moment(datetime.now(UTC))))
            await self.refresh(force=True)
        return key_id in self._by_id

    @property
    def is_loaded(self) -> bool:
        """Whether the database was ever read. Until then no key and no session token is accepted, and none made."""
        return bool(self.signing_secrets)

    async def load(self) -> None:
        """Read keys and signing secrets for the first time. Raises DATABASE_ERRORS."""
        await self.refresh()  # first, so that what is loaded has its keys
        await self.load_signing_secrets()

    async def refresh(self, *, force: bool = False) -> None:
        """Take over what has changed in the database. Raises DATABASE_ERRORS."""
        now = anyio.current_time()
        stamp_query = select(
            func.count(), func.count(ApiKeyRow.revoked), func.max(ApiKeyRow.created), func.max(ApiKeyRow.revoked)
        ).select_from(ApiKeyRow)
        async with transaction(self.engine) as connection:
            stamp = tuple((await connection.execute(stamp_query)).one())
            if force or stamp != self._stamp or now - self._read_at >= FULL_READ_EVERY_S:
                keys = [_key(row) for row in await connection.execute(select(ApiKeyRow.__table__))]
                self._by_id = {key.id: key for key in keys}
                self._by_fingerprint = {key.fingerprint: key for key in keys}
                self._stamp, self._read_at = stamp, now
        self._fresh_at, self.is_available = now, True

    async def refresh_loop(self) -> None:
        """Refresh every second, and write times of last use every minute, for ever."""
        written_at = anyio.current_time()
        while True:
            await anyio.sleep(REFRESH_EVERY_S)
            try:
                if self.is_loaded:
                    await self.refresh()
                else:  # the service started without the database: its tables may be missing
                    await reopen(self.engine)
                    await self.load()
                if anyio.current_time() - written_at >= FULL_READ_EVERY_S:
                    written_at = anyio.current_time()
                    await self.write_last_used()
            except DATABASE_ERRORS as error:
                if self.is_available:
                    _log.error("keys cannot be refreshed now", kind=type(error).__name__)
                self.is_available = False

    async def write_last_used(self) -> None:
        """Raises DATABASE_ERRORS; then the times stay to be written."""
        used = dict(self._used)
        async with transaction(self.engine) as connection:
            for key_id, moment in used.items():
                query = update(ApiKeyRow).where(ApiKeyRow.id == key_id)
                await connection.execute(query.values(last_used=stored_moment(moment)))
        for key_id, moment in used.items():
            if self._used.get(key_id) == moment:
                del self._used[key_id]

    async def load_signing_secrets(self) -> None:
        """Read the secrets that sign session tokens; make the first one where there is none. Raises DATABASE_ERRORS."""
        upsert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        first = {"kid": _FIRST_KID, "secret": secrets.token_hex(32), "created": stored_moment(datetime.now(UTC))}
        async with transaction(self.engine) as connection:
            if not (await connection.execute(select(func.count()).select_from(SigningSecretRow))).scalar_one():
                await connection.execute(upsert(SigningSecretRow).on_conflict_do_nothing(), [first])
            query = select(SigningSecretRow.kid, SigningSecretRow.secret).order_by(SigningSecretRow.created)
            self.signing_secrets = {row.kid: bytes.fromhex(row.secret) for row in await connection.execute(query)}

    def _certain(self, key: ApiKey | None) -> ApiKey | None:
        """What the snapshot has; a key that was revoked or has expired stays so, however old the snapshot is."""
        may_differ = key is None or key.is_active(datetime.now(UTC))
        if may_differ and anyio.current_time() - self._fresh_at > MAX_AGE_S:
            raise ProviderDown("keys", UNAVAILABLE)
        return key


def new_secret() -> str:
    """256 random bits after a prefix that secret scanners can search for."""
    return f"parley_{secrets.token_urlsafe(32)}"


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "fingerprint": key.fingerprint,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": " ".join(sorted(key.scopes)),
        "created": stored_moment(key.created),
        "expires": key.expires and stored_moment(key.expires),
        "revoked": key.revoked and stored_moment(key.revoked),
        "last_used": key.last_used and stored_moment(key.last_used),
    }


def _key(row: Any) -> ApiKey:
    """Scopes that this release does not know are left out."""
    known = set(map(str, Scope))
    return ApiKey(
        row.id,
        row.fingerprint,
        row.name,
        row.tenant,
        frozenset(Scope(scope) for scope in row.scopes.split() if scope in known),
        datetime.fromisoformat(row.created),
        row.expires and datetime.fromisoformat(row.expires),
        row.revoked and datetime.fromisoformat(row.revoked),
        row.last_used and datetime.fromisoformat(row.last_used),
    )
