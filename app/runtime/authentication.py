"""Authentication: from what a client presents to a principal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Protocol

from app.domain.principal import TENANT_SCOPES, Principal, Scope
from app.domain.tenant import Tenant, fingerprint, identify


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
        try:
            return not self.is_forwarded and ip_address(self.address).is_loopback
        except ValueError:
            return False

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


@dataclass(frozen=True, slots=True)
class OpenAuthenticator:
    """No key is asked for. Who connects from this machine itself is an administrator, everyone else is not."""

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:  # noqa: ARG002 because no credential is asked for
        return Principal(scopes=frozenset(Scope) if peer.is_local else TENANT_SCOPES)

    async def is_valid(self, principal: Principal) -> bool:  # noqa: ARG002 because there is nothing to revoke
        return True


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """Keys whose fingerprints the tenants file has: every scope of a tenant; `admin` as well for an operator."""

    tenants: Callable[[], Sequence[Tenant]]

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:  # noqa: ARG002 because a key is good from everywhere
        tenant = identify(credential, self.tenants()) if credential else None
        if tenant is None or credential is None:
            return None
        scopes = frozenset(Scope) if tenant.operator else TENANT_SCOPES
        return Principal(tenant, scopes, key_id=_key_id(fingerprint(credential)), name=tenant.name)

    async def is_valid(self, principal: Principal) -> bool:
        own = next((t for t in self.tenants() if t.name == principal.tenant.name), None)
        return own is not None and principal.key_id in map(_key_id, own.keys)


def _key_id(key_fingerprint: str) -> str:
    """The beginning of a fingerprint: names a key in lists and logs, and is no secret."""
    return key_fingerprint[:19]
