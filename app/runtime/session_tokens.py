"""Session tokens: short-lived JWTs, made with a key for one browser or device, that carry less than the key may do."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from app.data.database import UNAVAILABLE
from app.domain.api_key import parse_key_name
from app.domain.errors import ClientError, ClientFault, ProviderDown
from app.domain.person import parse_person
from app.domain.principal import TENANT_SCOPES, Principal, Scope
from app.runtime.authentication import KeyAuthenticator, Peer

ALGORITHM = "HS256"
TYPE = "parley-session+jwt"
"""The header `typ`: no other token, whoever signed it, is taken for one of these."""
ISSUER = AUDIENCE = "parley"
EPHEMERAL_PREFIX = "ek_"
"""Before a token for clients of OpenAI's: in a browser they refuse any other."""
MAX_LIFETIME_S = 3600
MAX_TOKEN_BYTES = 6 << 10


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """Makes and checks session tokens.

    A token is a ticket to begin: a session outlives it, and ends with its key, when that is revoked or has expired.
    """

    signing_secrets: Callable[[], Mapping[str, bytes]]
    """By key id (`kid`), the newest last: that one signs, each of them verifies."""
    keys: Sequence[KeyAuthenticator]
    """Where the key of a token is looked up."""

    def issue(
        self,
        principal: Principal,
        scopes: frozenset[Scope],
        lifetime_s: int,
        name: str,
        person: str | None = None,
    ) -> tuple[str, datetime]:
        """A token and when it expires; `person`: who speaks with it, which its bearer cannot change.

        Raises ClientError where the principal may not give these scopes away, for what identifies no person, and for a
        name that cannot be printed.
        Raises ProviderDown where the secrets could not be read from the database yet.
        """
        if principal.by_token or self._key(principal.key_id) is None:
            raise ClientError(ClientFault.FORBIDDEN, "a session token is made with a key, not with another token")
        if Scope.ADMIN in scopes or not all(map(principal.may, scopes)):
            raise ClientError(ClientFault.FORBIDDEN, "a session token has scopes of its key, and never admin")
        if not (signing_secrets := self.signing_secrets()):
            raise ProviderDown("keys", UNAVAILABLE)
        name = parse_key_name(name)
        now = datetime.now(UTC)
        expires = now + timedelta(seconds=lifetime_s)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": principal.key_id,
            "tenant": principal.tenant.name,
            "scope": " ".join(sorted(scopes)),
            "name": name or principal.name,
            "iat": int(now.timestamp()),
            "exp": int(expires.timestamp()),
            "jti": secrets.token_hex(8),
        }
        if person is not None:
            claims["person"] = parse_person(person)
        kid, secret = list(signing_secrets.items())[-1]
        return jwt.encode(claims, secret, ALGORITHM, headers={"kid": kid, "typ": TYPE}), expires.replace(microsecond=0)

    async def authenticate(self, credential: str | None, peer: Peer) -> Principal | None:  # noqa: ARG002 because a token is good from everywhere
        claims = self._claims(credential or "")
        own = self._key(str(claims["sub"])) if claims else None
        if claims is None or own is None or own.tenant.name != claims.get("tenant"):
            return None
        granted = str(claims.get("scope", "")).split()
        scopes = frozenset(scope for scope in TENANT_SCOPES if scope in granted and own.may(scope))
        name, person = str(claims.get("name", "")), claims.get("person")
        return replace(own, scopes=scopes, name=name, by_token=True, person=None if person is None else str(person))

    async def is_valid(self, principal: Principal) -> bool:
        """Whether the key that made the token is in force."""
        own = self._key(principal.key_id) if principal.by_token else None
        return own is not None and own.tenant.name == principal.tenant.name

    def _key(self, key_id: str) -> Principal | None:
        return next((found for each in self.keys if (found := each.principal_of(key_id)) is not None), None)

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        """None where it is no session token, or no valid one."""
        token = token.removeprefix(EPHEMERAL_PREFIX)
        if token.count(".") != 2 or len(token) > MAX_TOKEN_BYTES:
            return None
        try:
            header = jwt.get_unverified_header(token)
            secret = self.signing_secrets().get(str(header.get("kid")))
            if secret is None or header.get("typ") != TYPE:
                return None
            claims: Mapping[str, Any] = jwt.decode(
                token,
                secret,
                [ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "sub"], "verify_iat": False},  # iat: clocks of two processes differ
            )
        except (jwt.PyJWTError, ValueError):
            return None
        return claims
