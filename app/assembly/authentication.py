"""Opens the authenticators that the settings name, and refuses to serve strangers by accident."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import structlog
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.data.api_keys import KeyStore
from app.data.database import DATABASE_ERRORS, is_unreachable
from app.domain.errors import SettingsError
from app.domain.loopback import is_loopback
from app.domain.principal import Scope
from app.domain.tenant import fingerprint
from app.runtime.authentication import (
    AnyOf,
    Authenticator,
    DatabaseKeys,
    FixedKey,
    KeyAuthenticator,
    OpenAuthenticator,
    TenantKeys,
    Tenants,
)
from app.runtime.issuer_tokens import IssuerTokens
from app.runtime.jwks import open_jwks
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
    """Somebody can authenticate. A database that cannot be read yet counts as one with keys."""


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
    settings: Settings, database: AsyncEngine, tenants: Tenants | None, *, database_answers: bool = True
) -> AsyncGenerator[Authentication, None]:
    """The authenticator in force, and the store of its keys. Raises SettingsError.

    Where the database does not answer, it is asked again in the background alone.
    """
    keys = await open_key_store(database, is_required=False) if database_answers else KeyStore(database)
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
    async with run_in_background({"keys": keys.refresh_loop}), _open_issuer(settings, tenants) as issuer:
        if issuer is not None:
            authenticators.append(issuer)
        if not needs_key:
            authenticators.append(OpenAuthenticator())
        yield Authentication(
            AnyOf(authenticators), keys, session_tokens, needs_key, _description(settings, needs_key=needs_key)
        )


@asynccontextmanager
async def _open_issuer(settings: Settings, tenants: Tenants | None) -> AsyncGenerator[IssuerTokens | None, None]:
    """JWTs of the outside issuer; None where none is configured. Raises SettingsError."""
    url = settings.jwt_jwks_url
    if not url:
        yield None
        return
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise SettingsError(f"PARLEY_JWT_JWKS_URL: {url} is no https address; whoever changes the keys signs tokens")
    if not settings.jwt_issuer or not settings.jwt_audience:
        raise SettingsError("PARLEY_JWT_JWKS_URL: PARLEY_JWT_ISSUER and PARLEY_JWT_AUDIENCE are required with it")
    async with open_jwks(url) as jwks:
        yield IssuerTokens(
            jwks,
            settings.jwt_issuer,
            settings.jwt_audience,
            settings.jwt_tenant_claim,
            settings.jwt_scope_claim,
            tenants,
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


async def open_key_store(database: AsyncEngine, *, is_required: bool = True) -> KeyStore:
    """The keys of this database; where it is not required and unreachable, none are known yet. Raises SettingsError."""
    keys = KeyStore(database)
    try:
        await keys.load()
    except DATABASE_ERRORS as error:
        if not is_required and is_unreachable(error):
            return keys
        raise SettingsError(f"PARLEY_DATABASE_URL: the keys cannot be read: {error}") from error
    return keys


def fixed_key(secret: SecretStr, name: str, scopes: frozenset[Scope]) -> FixedKey:
    """The authenticator for a key that the setting of this name holds."""
    return FixedKey(fingerprint(secret.get_secret_value()), name, scopes)


def _key_sources(settings: Settings, keys: KeyStore, tenants: Tenants | None) -> KeySources:
    now = datetime.now(UTC)
    in_database = keys.all_keys()
    by_setting = settings.admin_key is not None or bool(settings.jwt_jwks_url) or not keys.is_loaded
    return KeySources(
        is_configured=by_setting or tenants is not None or bool(in_database),
        has_key=by_setting
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
