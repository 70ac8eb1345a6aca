"""JWTs of an outside issuer, such as a company's single sign-on: from its claims to a principal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import structlog

from app.domain.errors import ClientError
from app.domain.person import MAX_CHARACTERS, parse_person
from app.domain.principal import Principal, Scope
from app.domain.tenant import DEFAULT_TENANT, Tenant
from app.runtime.authentication import Peer, Tenants, find_tenant
from app.runtime.jwks import ALGORITHMS, JwksCache

MAX_TOKEN_BYTES = 16 << 10
MAX_NAME = 100
LEEWAY_S = 30
"""By which the issuer's clock may differ from ours."""
KEY_ID_PREFIX = "jwt:"

_log = structlog.get_logger("parley.authentication")


@dataclass(frozen=True, slots=True)
class IssuerTokens:
    jwks: JwksCache
    issuer: str
    audience: str
    tenant_claim: str = "tenant"
    scope_claim: str = "scope"
    """Scopes as a text with spaces, or as a list; others than Parley's are ignored."""
    tenants: Tenants | None = None

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:  # noqa: ARG002 because a token is good from everywhere
        """None also where the tenant is unknown, or `sub` identifies no person.

        Raises a ProviderError where the issuer's keys cannot be fetched.
        """
        kid = self._kid(credential or "")
        key = await self.jwks.key(kid) if kid else None
        claims = self._verified(credential, key) if credential and key else None
        tenant = self._tenant(claims.get(self.tenant_claim)) if claims else None
        if claims is None or tenant is None:
            return None
        try:
            person = parse_person(str(claims["sub"]))
        except ClientError:
            _log.warning("token refused: its sub identifies no person", max_characters=MAX_CHARACTERS)
            return None
        name = person[:MAX_NAME]
        return Principal(tenant, self._scopes(claims), key_id=f"{KEY_ID_PREFIX}{name}", name=name, person=person)

    async def is_valid(self, principal: Principal) -> bool:
        """A session may outlive the token that it began with; its tenant must still be there."""
        return principal.key_id.startswith(KEY_ID_PREFIX) and self._tenant(principal.tenant.name) is not None

    def _kid(self, token: str) -> str | None:
        """The id of the key that a token of this issuer is signed with; None for every other credential."""
        if token.count(".") != 2 or len(token) > MAX_TOKEN_BYTES:
            return None
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        header, claims = unverified["header"], unverified["payload"]
        if header.get("alg") not in ALGORITHMS or claims.get("iss") != self.issuer:
            return None
        return str(header["kid"]) if header.get("kid") else None

    def _verified(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any] | None:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                list(ALGORITHMS),
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY_S,
                options={"require": ["aud", "exp", "iss", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        return claims

    def _tenant(self, name: object) -> Tenant | None:
        """With a tenants file one that it has, else `default` alone: a claim creates no tenant."""
        if not isinstance(name, str) or (self.tenants is None and name != DEFAULT_TENANT.name):
            return None
        return find_tenant(name, self.tenants)

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        claimed = claims.get(self.scope_claim, "")
        words = claimed.split() if isinstance(claimed, str) else claimed if isinstance(claimed, list) else []
        return frozenset(scope for scope in Scope if scope.value in words)
