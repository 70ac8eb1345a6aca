"""Short-lived session tokens: who may make one, what it may do, and when it is no longer valid."""

import json
import time

import anyio
import httpx
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.data.api_keys import KeyStore
from app.data.database import open_database
from app.domain.principal import Scope
from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import AnyOf, DatabaseKeys, Peer, TenantKeys
from app.runtime.session_tokens import AUDIENCE, ISSUER, TYPE, SessionTokens
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
ANYWHERE = Peer("203.0.113.7")
FILE = Tenant("globex", (fingerprint("globex-key"),))
SECRET = b"s" * 64


@pytest.fixture
async def store(tmp_path):
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as engine:
        store = KeyStore(engine)
        await store.load()
        yield store


@pytest.fixture
async def service(store):
    sources = [DatabaseKeys(store), TenantKeys(lambda: (FILE,))]
    tokens = SessionTokens(lambda: store.signing_secrets, sources)
    return scripted_service(authenticator=AnyOf([*sources, tokens]), keys=store, session_tokens=tokens)


@pytest.fixture
async def key(store):
    secret, _ = await store.create("web", "acme", frozenset({Scope.SPEAK, Scope.RECORDINGS_READ}), None)
    return secret


@pytest.fixture
async def http(service):
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        yield client


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


async def token(http, key, *scopes: str, **fields) -> str:
    answer = await http.post("/auth/session-tokens", json={"scopes": scopes, **fields}, headers=bearer(key))
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


async def test_token_has_the_scopes_asked_for_and_expires_in_ten_minutes(http, service, key):
    answer = await http.post("/auth/session-tokens", json={"scopes": ["speak"], "name": "visitor"}, headers=bearer(key))

    principal = await service.authenticator.authenticate(answer.json()["token"], ANYWHERE)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (principal.tenant, principal.scopes, principal.name) == (Tenant("acme"), {Scope.SPEAK}, "visitor")
    lifetime_s = jwt.decode(answer.json()["token"], options={"verify_signature": False})["exp"] - time.time()
    assert 590 < lifetime_s <= 600


async def test_token_opens_a_socket_by_header_and_by_subprotocol_and_reads_no_recordings(http, key):
    visitor = await token(http, key, "speak")
    where = f"ws://{http.base_url.netloc.decode()}/ws/transcribe"

    async with (
        connect(where, additional_headers=bearer(visitor)) as by_header,
        connect(where, subprotocols=["parley", f"parley-key.{visitor}"]) as by_protocol,
    ):
        first = [json.loads(await socket.recv())["type"] for socket in (by_header, by_protocol)]
    recordings = await http.get("/recordings", headers=bearer(visitor))

    assert first == ["session", "session"]
    assert (recordings.status_code, recordings.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("scopes", [["admin"], ["chat"], ["speak", "recordings:delete"]])
async def test_token_never_has_a_scope_that_its_key_lacks(http, key, scopes):
    answer = await http.post("/auth/session-tokens", json={"scopes": scopes}, headers=bearer(key))

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_token_of_an_administrator_is_for_no_administrator(http, store, service):
    admin, _ = await store.create("ops", "default", frozenset({Scope.ADMIN}), None)

    refused = await http.post("/auth/session-tokens", json={"scopes": ["admin"]}, headers=bearer(admin))
    visitor = await service.authenticator.authenticate(await token(http, admin, "chat"), ANYWHERE)

    assert refused.status_code == 403
    assert visitor.scopes == {Scope.CHAT}


async def test_token_makes_no_other_token(http, key):
    """It would live for ever."""
    visitor = await token(http, key, "speak")

    answer = await http.post("/auth/session-tokens", json={"scopes": ["speak"]}, headers=bearer(visitor))

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 5000,
        b"{}",
        b'{"scopes": []}',
        b'{"scopes": ["root"]}',
        b'{"scopes": ["speak"], "ttl_s": 0}',
        b'{"scopes": ["speak"], "ttl_s": 3601}',
        b'{"scopes": ["speak"], "tenant": "globex"}',
    ],
)
async def test_token_that_cannot_be_made_is_400(http, key, body):
    answer = await http.post("/auth/session-tokens", content=body, headers=bearer(key))

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


async def test_expired_token_is_refused(http, service, key):
    visitor = await token(http, key, "recordings:read", ttl_s=1)
    before = (await http.get("/recordings", headers=bearer(visitor))).status_code

    await anyio.sleep(2.1)

    assert before == 200
    assert (await http.get("/recordings", headers=bearer(visitor))).status_code == 401


async def test_revoked_key_makes_its_tokens_invalid_and_ends_their_sessions(http, store, service, key):
    visitor = await token(http, key, "speak", "recordings:read")
    principal = await service.authenticator.authenticate(visitor, ANYWHERE)
    where = f"ws://{http.base_url.netloc.decode()}/ws/transcribe"
    async with connect(where, additional_headers=bearer(visitor)) as socket:
        await socket.recv()

        await store.revoke(fingerprint(key)[7:19])

        with anyio.fail_after(20), pytest.raises(ConnectionClosed):
            while True:
                last = json.loads(await socket.recv())
    assert last["code"] == "unauthorized"
    assert (await http.get("/recordings", headers=bearer(visitor))).status_code == 401
    assert await service.authenticator.is_valid(principal) is False


async def test_key_of_the_tenants_file_makes_tokens_too(http, service):
    visitor = await token(http, "globex-key", "speak")

    assert (await service.authenticator.authenticate(visitor, ANYWHERE)).tenant == FILE


def forged(secret: bytes | str = SECRET, algorithm: str | None = "HS256", **changes) -> str:
    """A token that is right in all but what is changed; None leaves a claim or header out."""
    headers = {"kid": changes.pop("kid", "1"), "typ": changes.pop("typ", TYPE)}
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": fingerprint("globex-key")[7:19], "tenant": "globex"}
    claims |= {"scope": "speak admin", "exp": int(time.time()) + 60, **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, secret, algorithm, headers=headers)


@pytest.fixture
def tokens():
    return SessionTokens(lambda: {"1": SECRET}, [TenantKeys(lambda: (FILE,))])


async def test_right_token_is_accepted_and_never_for_admin(tokens):
    principal = await tokens.authenticate(forged(), ANYWHERE)

    assert (principal.tenant, principal.scopes) == (FILE, {Scope.SPEAK})


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "a\u202eb"])
async def test_name_that_cannot_be_printed_is_refused(http, key, name):
    """It is shown in an administrator's terminal."""
    answer = await http.post("/auth/session-tokens", json={"scopes": ["speak"], "name": name}, headers=bearer(key))

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


async def test_token_with_the_longest_person_name_and_tenant_is_accepted():
    """A character may take twelve bytes in it."""
    tenant = Tenant("t" * 63, (fingerprint("key"),))
    keys = TenantKeys(lambda: (tenant,))
    tokens = SessionTokens(lambda: {"1": SECRET}, [keys])
    principal = await keys.authenticate("key", ANYWHERE)

    made, _ = tokens.issue(principal, principal.scopes, 3600, "💬" * 100, "💬" * 128)

    assert (await tokens.authenticate(made, ANYWHERE)).person == "💬" * 128


@pytest.mark.parametrize(
    "credential",
    [
        forged(b"t" * 64),
        forged("", None),
        forged(algorithm="HS384"),
        forged(kid="2"),
        forged(typ="JWT"),
        forged(iss="elsewhere"),
        forged(aud="elsewhere"),
        forged(exp=int(time.time()) - 1),
        forged(exp=None),
        forged(sub=None),
        forged(sub="000000000000"),
        forged(tenant="acme"),
        forged(tenant=None),
        forged(name="x" * 5000),
        "..",
        "a.b.c",
        "é.b.c",
        "",
        None,
    ],
)
async def test_token_with_anything_wrong_is_refused(tokens, credential):
    assert await tokens.authenticate(credential, ANYWHERE) is None
