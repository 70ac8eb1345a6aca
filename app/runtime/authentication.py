"""Authentication: from what a client presents to a principal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Protocol

from app.data.api_keys import KeyStore
from app.domain.api_key import ApiKey
from app.domain.loopback import is_loopback
from app.domain.principal import TENANT_SCOPES, Principal, Scope
from app.domain.tenant import DEFAULT_TENANT, Tenant, fingerprint, identify, key_id_of

STRANGER_SCOPES = frozenset({Scope.SPEAK, Scope.TRANSCRIBE, Scope.CHAT})
"""Of whoever presents no key to a server that asks for none: they share one tenant, so none reads its recordings."""

Tenants = Callable[[], Sequence[Tenant]]
"""The tenants of the file, as it is now."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a connection comes from."""

    address: str
    """IP address of the client, as far as trusted proxies say it; empty where it is not known."""
    is_forwarded: bool = False
    """A proxy sent it on. Where the proxy is not trusted, the address is the proxy's."""

    @property
    def is_local(self) -> bool:
        """Whether it comes from this machine, by no proxy."""
        return not self.is_forwarded and is_loopback(self.address)

    @property
    def is_limited(self) -> bool:
        """Whether limits per address count it: not this machine's own clients, nor who has no address."""
        return bool(self.address) and not self.is_local

    @property
    def network(self) -> str:
        """What limits per address count together: an IPv4 address, or the /64 network of an IPv6 address."""
        try:
            address = ip_address(self.address)
        except ValueError:
            return self.address
        if isinstance(address, IPv6Address):
            return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))
        return str(address)


UNKNOWN_PEER = Peer("")


class Authenticator(Protocol):
    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:
        """The principal with this key or token; None where nobody has it. Raises a ProviderError."""
        ...

    async def is_valid(self, principal: Principal) -> bool:
        """Whether the key or token of a principal that authenticated earlier is still valid. Raises a ProviderError.

        It is asked about the principal of every running session, twice a second.
        """
        ...


class KeyAuthenticator(Authenticator, Protocol):
    """One source of keys."""

    def principal_of(self, key_id: str) -> Principal | None:
        """The principal of the key with this id; None where it is not here, or no longer valid."""
        ...


@dataclass(frozen=True, slots=True)
class OpenAuthenticator:
    """No key is asked for. Who connects from this machine itself is an administrator, everyone else a stranger."""

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:  # noqa: ARG002 because no credential is asked for
        return Principal(scopes=frozenset(Scope) if peer.is_local else STRANGER_SCOPES)

    async def is_valid(self, principal: Principal) -> bool:
        return not principal.key_id


@dataclass(frozen=True, slots=True)
class FixedKey:
    """One key that a setting holds: PARLEY_ADMIN_KEY, PARLEY_WORKER_KEY."""

    key_fingerprint: str
    name: str
    scopes: frozenset[Scope]

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:  # noqa: ARG002 because a key is good from everywhere
        if credential is None or not compare_digest(fingerprint(credential), self.key_fingerprint):
            return None
        return self.principal_of(key_id_of(self.key_fingerprint))

    async def is_valid(self, principal: Principal) -> bool:
        return self.principal_of(principal.key_id) is not None

    def principal_of(self, key_id: str) -> Principal | None:
        own = key_id_of(self.key_fingerprint)
        return Principal(DEFAULT_TENANT, self.scopes, key_id=own, name=self.name) if key_id == own else None


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """Keys whose fingerprints the tenants file has: every scope of a tenant; `admin` as well for an operator."""

    tenants: Tenants

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:  # noqa: ARG002 because a key is good from everywhere
        tenant = identify(credential, self.tenants()) if credential else None
        if tenant is None or credential is None:
            return None
        return _of_tenant(tenant, key_id_of(fingerprint(credential)))

    async def is_valid(self, principal: Principal) -> bool:
        own = self.principal_of(principal.key_id)
        return own is not None and own.tenant.name == principal.tenant.name

    def principal_of(self, key_id: str) -> Principal | None:
        return next(
            (_of_tenant(tenant, key_id) for tenant in self.tenants() if key_id in map(key_id_of, tenant.keys)), None
        )


@dataclass(frozen=True, slots=True)
class DatabaseKeys:
    """Keys of the database. Limits of their tenants are those of the tenants file."""

    store: KeyStore
    tenants: Tenants | None = None
    """None: there is no file, and each tenant has the limits of the service."""

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:  # noqa: ARG002 because a key is good from everywhere
        key = self.store.find(fingerprint(credential)) if credential else None
        principal = self._principal(key)
        if key is not None and principal is not None:
            self.store.mark_used(key, datetime.now(UTC))
        return principal

    async def is_valid(self, principal: Principal) -> bool:
        own = self.principal_of(principal.key_id)
        return own is not None and own.tenant.name == principal.tenant.name

    def principal_of(self, key_id: str) -> Principal | None:
        return self._principal(self.store.find_by_id(key_id)) if key_id else None

    def _principal(self, key: ApiKey | None) -> Principal | None:
        if key is None or not key.is_active(datetime.now(UTC)):
            return None
        tenant = find_tenant(key.tenant, self.tenants)
        return None if tenant is None else Principal(tenant, key.scopes, key_id=key.id, name=key.name)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The first of several authenticators that knows the client."""

    authenticators: Sequence[Authenticator]

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:
        for authenticator in self.authenticators:
            if (principal := await authenticator.authenticate(credential, peer)) is not None:
                return principal
        return None

    async def is_valid(self, principal: Principal) -> bool:
        for authenticator in self.authenticators:
            if await authenticator.is_valid(principal):
                return True
        return False


def find_tenant(name: str, tenants: Tenants | None) -> Tenant | None:
    """The tenant of this name with its limits; None where the tenants file does not have it.

    A tenant that was removed from the file is locked out, rather than served without its limits. `default` is there
    always, and without a file so is every other.
    """
    if tenants is None:
        return Tenant(name)
    found = next((tenant for tenant in tenants() if tenant.name == name), None)
    return DEFAULT_TENANT if found is None and name == DEFAULT_TENANT.name else found


def _of_tenant(tenant: Tenant, key_id: str) -> Principal:
    scopes = frozenset(Scope) if tenant.operator else TENANT_SCOPES
    return Principal(tenant, scopes, key_id=key_id, name=tenant.name)
