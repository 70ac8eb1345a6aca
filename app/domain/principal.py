"""Principals and scopes: who makes a request, for which tenant, and what it may do."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.tenant import DEFAULT_TENANT, Tenant


class Scope(StrEnum):
    """What a key, a token or a peer may do. Every route names the one it needs."""

    SPEAK = "speak"
    """Open a session and talk."""
    TRANSCRIBE = "transcribe"
    """Have files transcribed, and archived."""
    RECORDINGS_READ = "recordings:read"
    RECORDINGS_DELETE = "recordings:delete"
    CHAT = "chat"
    """Have text answered."""
    ADMIN = "admin"
    """Everything, for every tenant."""


TENANT_SCOPES = frozenset(Scope) - {Scope.ADMIN}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from, after authentication."""

    tenant: Tenant = DEFAULT_TENANT
    scopes: frozenset[Scope] = TENANT_SCOPES
    key_id: str = ""
    """Of the key that it presented, or that its token was made with; empty where there is none."""
    name: str = ""
    """The key's name, for people and for the audit log."""
    by_token: bool = False
    """It presented a session token that was made with the key, and may not make others."""
    person: str | None = None
    """Who speaks, as its token says; None: it has no token, or one that does not say."""

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    @property
    def is_stranger(self) -> bool:
        """It has no key, and shares its tenant with whoever else has none."""
        return not self.key_id and not self.is_admin

    def may(self, scope: Scope) -> bool:
        return self.is_admin or scope in self.scopes

    def may_see(self, owner: str) -> bool:
        """Whether what belongs to the tenant named `owner` exists for this principal."""
        return self.is_admin or self.tenant.name == owner

    def may_control(self, owner: str, person: str | None) -> bool:
        """The same of a job or an upload; one whose token names a person has that person's alone."""
        return self.may_see(owner) and self.person in (None, person)
