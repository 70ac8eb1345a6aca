"""What ends with an API key that expires, and what does not end with a session token."""

from datetime import UTC, datetime, timedelta

import anyio
import httpx
import pytest

from app.data.api_keys import MAX_AGE_S, KeyStore
from app.data.database import open_database
from app.domain.errors import ProviderDown
from app.domain.principal import Principal, Scope
from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import AnyOf, DatabaseKeys, Peer, TenantKeys
from app.runtime.session_registry import KEY_ENDED
from app.runtime.session_tokens import SessionTokens
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
ANYWHERE = Peer("203.0.113.7")
SPEAK = frozenset({Scope.SPEAK})
TURN = SPEECH * 20 + SILENCE * 30
LIFETIME = timedelta(seconds=3)
ACME, GLOBEX = Tenant("acme", (fingerprint("acme-key"),)), Tenant("globex", (fingerprint("globex-key"),))


@pytest.fixture
async def store(tmp_path):
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as engine:
        store = KeyStore(engine)
        await store.load()
        yield store


@pytest.fixture
async def service(store):
    keys = DatabaseKeys(store)
    tokens = SessionTokens(lambda: store.signing_secrets, [keys])
    return scripted_service(authenticator=AnyOf([keys, tokens]), keys=store, session_tokens=tokens)


@pytest.fixture
async def address(service):
    async with served(service) as where:
        yield where


async def token(address: str, key: str, ttl_s: int) -> str:
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        body, headers = {"scopes": ["speak"], "ttl_s": ttl_s}, {"authorization": f"Bearer {key}"}
        answer = await http.post("/auth/session-tokens", json=body, headers=headers)
    return str(answer.json()["token"])


async def started(talk) -> None:
    assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)


async def gets_a_final(talk) -> bool:
    await talk.send_audio(TURN, pace=0)
    return bool(await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=10))


@pytest.mark.parametrize("by", ["key", "token"])
async def test_key_that_expires_ends_its_sessions_and_those_of_its_tokens(address, store, by):
    """As a revocation does; a session of another key goes on."""
    lasting, _ = await store.create("lasting", "acme", SPEAK, None)
    expires = datetime.now(UTC) + LIFETIME
    key, _ = await store.create("short", "acme", SPEAK, expires)
    credential = key if by == "key" else await token(address, key, ttl_s=600)
    url = f"ws://{address}/ws/transcribe"
    async with open_session(url, key=credential) as ending, open_session(url, key=lasting) as other:
        await started(ending)
        await started(other)

        await ending.wait_until(lambda t: t.closed, timeout_s=10)
        closed_at, error = datetime.now(UTC), ending.messages("error")[-1].message

        assert ending.closed[0] == 1008
        assert (error["code"], error["message"]) == ("unauthorized", KEY_ENDED)
        assert closed_at >= expires
        assert await gets_a_final(other)


async def test_token_whose_time_is_over_ends_no_session(address, service, store):
    """It is a ticket to begin: afterwards it opens no other session."""
    key, _ = await store.create("web", "acme", SPEAK, None)
    visitor = await token(address, key, ttl_s=2)
    async with open_session(f"ws://{address}/ws/transcribe", key=visitor) as talk:
        await started(talk)

        async def is_over() -> bool:
            return await service.authenticator.authenticate(visitor, ANYWHERE) is None

        await until(is_over, seconds=10)
        await anyio.sleep(2 * service.running_sessions.check_every_s)

        assert await gets_a_final(talk)


async def test_expired_key_ends_its_sessions_while_the_database_cannot_be_read(store):
    """A revocation could not be seen then; an expiry is known before. Nobody makes an expired key good again."""
    expires = datetime.now(UTC) + timedelta(milliseconds=300)
    ending, _ = await store.create("short", "acme", SPEAK, expires)
    lasting, _ = await store.create("lasting", "acme", SPEAK, None)
    keys = DatabaseKeys(store)
    short, other = [await keys.authenticate(secret, ANYWHERE) for secret in (ending, lasting)]
    store._fresh_at -= 2 * MAX_AGE_S

    await anyio.sleep(0.4)

    assert await keys.is_valid(short) is False
    with pytest.raises(ProviderDown):
        await keys.is_valid(other)


class AcmeUnreachable(TenantKeys):
    """The keys of one tenant cannot be checked."""

    async def is_valid(self, principal: Principal) -> bool:
        if principal.tenant.name == "acme":
            raise ProviderDown("keys", "the database is gone")
        return await TenantKeys.is_valid(self, principal)


async def test_key_that_cannot_be_checked_keeps_no_other_session_running():
    tenants = [ACME, GLOBEX]
    service = scripted_service(tenants=lambda: tenants, authenticator=AcmeUnreachable(lambda: tenants))
    async with served(service) as address:
        url = f"ws://{address}/ws/transcribe"
        async with open_session(url, key="acme-key") as unchecked, open_session(url, key="globex-key") as removed:
            await started(unchecked)
            await started(removed)

            tenants.remove(GLOBEX)

            assert await removed.wait_until(lambda t: t.closed, timeout_s=10)
            assert removed.messages("error")[-1].message["code"] == "unauthorized"
            assert await gets_a_final(unchecked)
