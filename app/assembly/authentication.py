"""Opens the authenticators that the settings name, and refuses to serve strangers by accident."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.data.api_keys import KeyStore
from app.data.database import DATABASE_ERRORS
from app.domain.errors import SettingsError
from app.domain.principal import Scope
from app.domain.tenant import Tenant, fingerprint
from app.proxies import is_loopback
from app.runtime.authentication import (
    AnyOf,
    Authenticator,
    DatabaseKeys,
    FixedKey,
    KeyAuthenticator,
    OpenAuthenticator,
    TenantKeys,
)
from app.runtime.session_tokens import SessionTokens
from app.runtime.supervision import run_in_background

_log = structlog.get_logger("parley.authentication")


@dataclass(frozen=True, slots=True)
class Authentication:
    """Who may connect to `parley serve`."""

    authenticator: Authenticator
    keys: KeyStore
    session_tokens: SessionTokens
    needs_key: bool
    """Whether a client without a key is refused."""
    description: str
    """One line for the start-up log."""


@dataclass(frozen=True, slots=True)
class KeySources:
    """Where keys can come from."""

    is_configured: bool
    """There is a tenants file, a key in a setting, an issuer, or a key in the database, be it revoked or expired."""
    has_key: bool
    """Somebody can authenticate."""


def asks_for_keys(mode: str, host: str, sources: KeySources, *, advice: str) -> bool:
    """Whether a key is asked for, by PARLEY_AUTH. Raises SettingsError, with this advice, where nobody has one.

    Without any key, `auto` serves a loopback address only: what a typing mistake leaves is a server that does not
    start, and not one that is open to everybody.
    """
    if mode == "none" or (mode == "auto" and is_loopback(host) and not sources.is_configured):
        return False
    if not sources.has_key:
        raise SettingsError(f"PARLEY_AUTH is {mode}, and {host} would be served without any key: {advice}")
    return True


SERVER_ADVICE = (
    "make one (`parley keys create NAME --scope admin`), or set PARLEY_ADMIN_KEY or PARLEY_TENANTS; "
    "PARLEY_AUTH=none serves everybody without a key"
)

WORKER_ADVICE = (
    "set PARLEY_WORKER_KEY (`openssl rand -hex 32`) here and on the gateways; PARLEY_AUTH=none serves everybody "
    "without a key"
)


@asynccontextmanager
async def open_authentication(
    settings: Settings, database: AsyncEngine, tenants: Callable[[], Sequence[Tenant]] | None
) -> AsyncGenerator[Authentication, None]:
    """The authenticator in force, and the store of its keys. Raises SettingsError."""
    keys = await open_key_store(database)
    sources = list[KeyAuthenticator]()
    if settings.admin_key is not None:
        sources.append(fixed_key(settings.admin_key, "PARLEY_ADMIN_KEY", frozenset(Scope)))
    if tenants is not None:
        sources.append(TenantKeys(tenants))
    sources.append(DatabaseKeys(keys, tenants))  # the last, because it alone may be unavailable
    known = _key_sources(settings, keys, tenants)
    needs_key = asks_for_keys(settings.auth, settings.host, known, advice=SERVER_ADVICE)
    session_tokens = SessionTokens(lambda: keys.signing_secrets, sources)
    authenticators: list[Authenticator] = [*sources, session_tokens]
    if not needs_key:
        authenticators.append(OpenAuthenticator())
    async with run_in_background({"keys": keys.refresh_loop}):
        yield Authentication(
            AnyOf(authenticators), keys, session_tokens, needs_key, _description(settings, needs_key=needs_key)
        )


def worker_authenticator(settings: Settings) -> Authenticator:
    """Who may use `parley worker`: whoever has PARLEY_WORKER_KEY. Raises SettingsError."""
    key = settings.worker_key
    if not asks_for_keys(
        settings.auth, settings.host, KeySources(key is not None, key is not None), advice=WORKER_ADVICE
    ):
        return OpenAuthenticator()
    assert key is not None
    return fixed_key(key, "PARLEY_WORKER_KEY", frozenset({Scope.TRANSCRIBE}))


async def open_key_store(database: AsyncEngine) -> KeyStore:
    """The keys of this database. Raises SettingsError."""
    keys = KeyStore(database)
    try:
        await keys.load_signing_secrets()
        await keys.refresh()
    except DATABASE_ERRORS as error:
        raise SettingsError(f"PARLEY_DATABASE_URL: the keys cannot be read: {error}") from error
    return keys


def fixed_key(secret: SecretStr, name: str, scopes: frozenset[Scope]) -> FixedKey:
    """The authenticator for a key that the setting of this name holds."""
    return FixedKey(fingerprint(secret.get_secret_value()), name, scopes)


def _key_sources(settings: Settings, keys: KeyStore, tenants: Callable[[], Sequence[Tenant]] | None) -> KeySources:
    now = datetime.now(UTC)
    in_database = keys.all_keys()
    return KeySources(
        is_configured=settings.admin_key is not None or tenants is not None or bool(in_database),
        has_key=settings.admin_key is not None
        or any(tenant.keys for tenant in (tenants or tuple)())
        or any(key.is_active(now) for key in in_database),
    )


def _description(settings: Settings, *, needs_key: bool) -> str:
    if needs_key:
        return "a key is asked for"
    if is_loopback(settings.host):
        return "none; clients on this machine are administrators"
    _log.warning("PARLEY_AUTH=none: everybody who reaches this address is served without a key", host=settings.host)
    return f"NONE: everybody who reaches {settings.host} is served without a key"
