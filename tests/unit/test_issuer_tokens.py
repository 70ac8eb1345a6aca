"""JWTs of an outside issuer: which are accepted, and how its keys are fetched and cached."""

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.domain.errors import ProviderDown, ProviderError
from app.domain.principal import Principal, Scope
from app.domain.tenant import Tenant
from app.runtime.authentication import Peer
from app.runtime.issuer_tokens import IssuerTokens
from app.runtime.jwks import MAX_AGE_S, MAX_STALE_S, MIN_INTERVAL_S, JwksCache

pytestmark = pytest.mark.anyio
ANYWHERE = Peer("203.0.113.7")
ISSUER, AUDIENCE = "https://login.example/", "parley"
ACME = Tenant("acme", max_sessions=2)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key, kid: str, **fields) -> dict:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, **fields}


KEYS = (
    public(RSA, "rsa", alg="RS256", use="sig"),
    public(EC, "ec", use="sig"),
    public(OTHER, "encryption", alg="RSA-OAEP", use="enc"),
    {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
    {"kty": "unheard of", "kid": "odd"},
    {},
)


class Issuer:
    """Serves its keys, counts the requests, and may be down."""

    def __init__(self, keys=KEYS) -> None:
        self.keys, self.requests, self.now, self.failure = list(keys), 0, 0.0, None

    async def fetch(self) -> bytes:
        self.requests += 1
        if self.failure:
            raise self.failure
        return json.dumps({"keys": self.keys}).encode()

    def cache(self) -> JwksCache:
        return JwksCache(self.fetch, lambda: self.now)


@pytest.fixture
def issuer():
    return Issuer()


@pytest.fixture
def tokens(issuer):
    return IssuerTokens(issuer.cache(), ISSUER, AUDIENCE, tenants=lambda: (ACME,))


def signed(key=RSA, algorithm="RS256", kid: str | None = "rsa", **changes) -> str:
    """A right token; None leaves a claim out."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "tenant": "acme", "scope": "openid speak chat"}
    claims |= {"exp": int(time.time()) + 60, **changes}
    return jwt.encode(
        {k: v for k, v in claims.items() if v is not None}, key, algorithm, headers={"kid": kid} if kid else {}
    )


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec")])
async def test_token_of_the_issuer_is_accepted(tokens, key, algorithm, kid):
    """Scopes that are not Parley's are ignored."""
    principal = await tokens.authenticate(signed(key, algorithm, kid), ANYWHERE)

    scopes = frozenset({Scope.SPEAK, Scope.CHAT})
    assert principal == Principal(ACME, scopes, key_id="jwt:anna", name="anna", person="anna")
    assert await tokens.is_valid(principal)


async def test_claims_have_the_names_that_the_settings_give(issuer):
    tokens = IssuerTokens(issuer.cache(), ISSUER, AUDIENCE, "org", "permissions", lambda: (ACME,))

    principal = await tokens.authenticate(signed(org="acme", tenant=None, permissions=["speak", 3]), ANYWHERE)

    assert (principal.tenant, principal.scopes) == (ACME, {Scope.SPEAK})


def with_public_key_as_secret() -> str:
    """The known confusion: an RSA public key used as the secret of HS256."""
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    parts = [json.dumps(each).encode() for each in ({"alg": "HS256", "kid": "rsa"}, {"iss": ISSUER, "aud": AUDIENCE})]
    head = b".".join(jwt.utils.base64url_encode(part) for part in parts)
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(head, pem)
    return b".".join([head, jwt.utils.base64url_encode(signature)]).decode()


@pytest.mark.parametrize(
    "credential",
    [
        signed(OTHER),
        signed(kid="ec"),
        signed(OTHER, kid="encryption"),
        signed(algorithm="RS512"),
        signed("s" * 64, "HS256", "symmetric"),
        signed(None, "none"),
        with_public_key_as_secret(),
        signed(kid=None),
        signed(iss="https://evil.example/"),
        signed(aud="elsewhere"),
        signed(aud=None),
        signed(exp=int(time.time()) - 120),
        signed(exp=None),
        signed(sub=None),
        signed(sub=""),
        signed(sub="a" * 129),
        signed(sub="anna\nbert"),
        signed(tenant=None),
        signed(tenant="nobody"),
        signed(tenant=["acme"]),
        signed(tenant=""),
        "..",
        "a.b.c",
        "é.b.c",
        "parley_key",
        "",
        None,
    ],
)
async def test_token_with_anything_wrong_is_refused(tokens, credential):
    assert await tokens.authenticate(credential, ANYWHERE) is None


async def test_without_a_tenants_file_only_the_default_tenant_is_known(issuer):
    """A claim creates no tenant."""
    tokens = IssuerTokens(issuer.cache(), ISSUER, AUDIENCE)

    assert await tokens.authenticate(signed(), ANYWHERE) is None
    assert (await tokens.authenticate(signed(tenant="default"), ANYWHERE)).tenant == Tenant()


async def test_principal_of_a_removed_tenant_is_no_longer_valid(issuer):
    tenants = [ACME]
    tokens = IssuerTokens(issuer.cache(), ISSUER, AUDIENCE, tenants=lambda: tenants)
    principal = await tokens.authenticate(signed(), ANYWHERE)

    tenants.clear()

    assert not await tokens.is_valid(principal)


# -- The issuer's keys ------------------------------------------------------------------------------


async def test_keys_are_fetched_once_and_again_after_an_hour(issuer, tokens):
    for issuer.now in (0, 1, MAX_AGE_S - 1):
        await tokens.authenticate(signed(), ANYWHERE)
    before = issuer.requests

    issuer.now = MAX_AGE_S
    await tokens.authenticate(signed(), ANYWHERE)

    assert (before, issuer.requests) == (1, 2)


async def test_credential_that_is_none_of_the_issuers_fetches_nothing(issuer, tokens):
    for credential in ("parley_key", signed(iss="https://evil.example/"), signed("s" * 64, "HS256"), None):
        await tokens.authenticate(credential, ANYWHERE)

    assert issuer.requests == 0


async def test_unknown_key_id_fetches_the_rotated_keys(issuer, tokens):
    await tokens.authenticate(signed(), ANYWHERE)
    issuer.keys = [public(OTHER, "new")]
    issuer.now = MIN_INTERVAL_S

    assert await tokens.authenticate(signed(OTHER, kid="new"), ANYWHERE) is not None
    assert await tokens.authenticate(signed(), ANYWHERE) is None


async def test_unknown_key_ids_fetch_no_more_often_than_the_limit(issuer, tokens):
    for number in range(50):
        issuer.now = number * MIN_INTERVAL_S / 25
        assert await tokens.authenticate(signed(kid=f"unknown-{number}"), ANYWHERE) is None

    assert issuer.requests == 2


async def test_issuer_that_is_down_is_a_provider_error_and_not_a_wrong_key(issuer, tokens):
    issuer.failure = ProviderDown("jwks", "down")

    for issuer.now in (0, 1):  # the second within the limit, without a request
        with pytest.raises(ProviderDown):
            await tokens.authenticate(signed(), ANYWHERE)
    assert issuer.requests == 1


async def test_known_keys_outlive_an_outage_of_the_issuer_for_a_day(issuer, tokens):
    await tokens.authenticate(signed(), ANYWHERE)
    issuer.failure = ProviderDown("jwks", "down")

    issuer.now = MAX_STALE_S - 1
    during = await tokens.authenticate(signed(), ANYWHERE)
    issuer.now = MAX_STALE_S + MIN_INTERVAL_S

    assert during is not None
    with pytest.raises(ProviderDown):
        await tokens.authenticate(signed(), ANYWHERE)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": 3}', b"[" * 5000])
async def test_answer_that_is_no_key_set_is_a_provider_error(body):
    async def fetch() -> bytes:
        return body

    tokens = IssuerTokens(JwksCache(fetch, lambda: 0.0), ISSUER, AUDIENCE)

    with pytest.raises(ProviderError):
        await tokens.authenticate(signed(), ANYWHERE)
