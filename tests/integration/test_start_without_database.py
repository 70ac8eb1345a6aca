"""A service that starts while its PostgreSQL does not answer: closed until the keys can be read, then as ever."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from prometheus_client import CollectorRegistry
from sqlalchemy import make_url

from app.assembly.authentication import Authentication, open_authentication, open_key_store
from app.assembly.routing import open_policy
from app.config import Settings
from app.data.api_keys import KeyStore
from app.data.database import DATABASE_ERRORS, open_database, open_engine, prepare
from app.data.schema_change import current, upgrade
from app.domain.errors import ProviderDown, SettingsError
from app.domain.principal import Scope
from app.domain.tenant import fingerprint
from app.policy.routes_file import OpenAIRoute
from app.runtime.authentication import UNKNOWN_PEER, FixedKey
from app.runtime.session_tokens import SessionTokens
from tests.eventually import until
from tests.postgres import new_database
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
ROUTES = {"worker": OpenAIRoute(base_url="http://127.0.0.1:9/v1", place="on_prem")}


@pytest.fixture
def closed_port() -> int:
    """A port of this machine where nothing listens yet."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@asynccontextmanager
async def started(url: str) -> AsyncIterator[Authentication]:
    """Who may connect, as `parley serve` opens it, on a database that need not answer."""
    async with open_engine(url) as database:
        answers = await prepare(database, is_required=False)
        async with open_authentication(Settings(), database, None, database_answers=answers) as authentication:
            yield authentication


@asynccontextmanager
async def forwarded(port: int, to: int):
    """Pass connections to this port on to another one."""

    async def copy(source: SocketStream, sink: SocketStream) -> None:
        try:
            async for data in source:
                await sink.send(data)
            await sink.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # because one side has gone, and the other is closed with it

    async def serve(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", to) as server, anyio.create_task_group() as both:
            both.start_soon(copy, client, server)
            both.start_soon(copy, server, client)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        yield
        tasks.cancel_scope.cancel()


@contextmanager
def silent_server(*, accepts: bool) -> Iterator[int]:
    """A port that swallows packets: a connection is made and nothing answers, or it is never made."""
    with ExitStack() as sockets:
        server = sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(128 if accepts else 0)
        for _ in range(0 if accepts else 3):  # beyond the backlog the kernel drops what would open a connection
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def keys_are_read(keys: KeyStore) -> None:
    async def are_read() -> bool:
        return keys.is_loaded and keys.is_available

    await until(are_read, seconds=30)


async def test_service_starts_closed_and_accepts_keys_once_the_database_answers(postgres, closed_port):
    """On a loopback address and without a setting: with an empty database it would have asked for no key."""
    url = new_database(postgres)
    port = int(url.rpartition(":")[2].partition("/")[0])
    async with open_database(url) as database:
        secret, _ = await (await open_key_store(database)).create("laptop", "acme", frozenset(Scope), None)
    headers = {"authorization": f"Bearer {secret}"}

    async with (
        started(url.replace(f":{port}/", f":{closed_port}/")) as authentication,
        served(scripted_service(authenticator=authentication.authenticator)) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
    ):
        without, early = await http.get("/recordings"), await http.get("/recordings", headers=headers)
        async with forwarded(closed_port, port):
            await keys_are_read(authentication.keys)
            late = await http.get("/recordings", headers=headers)

    assert (without.status_code, early.status_code, late.status_code) == (401, 503, 200)
    assert authentication.needs_key


async def test_tables_are_made_once_an_empty_database_answers(postgres, closed_port):
    url = new_database(postgres)
    port = int(url.rpartition(":")[2].partition("/")[0])
    async with (
        started(url.replace(f":{port}/", f":{closed_port}/")) as authentication,
        forwarded(closed_port, port),
    ):
        await keys_are_read(authentication.keys)
        secret, key = await authentication.keys.create("laptop", "acme", frozenset({Scope.SPEAK}), None)

        assert await authentication.authenticator.authenticate(secret, UNKNOWN_PEER)
        assert [each.id for each in authentication.keys.all_keys()] == [key.id]


async def test_no_session_token_is_made_before_the_signing_secrets_were_read():
    own = FixedKey(fingerprint("admin-key"), "admin", frozenset(Scope))
    principal = await own.authenticate("admin-key", UNKNOWN_PEER)

    with pytest.raises(ProviderDown, match="the database is unavailable"):
        SessionTokens(dict, [own]).issue(principal, frozenset({Scope.SPEAK}), 60, "")


@pytest.mark.parametrize("mistake", ["unknown database", "unknown role", "unknown host"])
async def test_what_no_waiting_mends_refuses_the_start(postgres, mistake):
    url = {
        "unknown database": f"{postgres}/nothing",
        "unknown role": f"{postgres.replace('parley@', 'ghost@')}/postgres",
        "unknown host": "postgresql+asyncpg://parley@no-such-host.invalid/parley",
    }[mistake]

    with pytest.raises(SettingsError, match="cannot be opened"):
        async with open_engine(url) as database:
            await prepare(database, is_required=False)


async def test_commands_require_a_database_that_answers(closed_port):
    with pytest.raises(SettingsError, match="cannot be opened"):
        async with open_database(f"postgresql+asyncpg://parley@127.0.0.1:{closed_port}/parley"):
            pass


@pytest.mark.parametrize("accepts", [True, False], ids=["accepts and is silent", "never accepts"])
async def test_start_waits_once_for_a_database_that_swallows_packets(monkeypatch, accepts):
    """The first transaction ends by its timeout; keys and spending are left to the background then."""
    monkeypatch.setattr("app.data.database.CONNECT_TIMEOUT_S", 120.0)
    with anyio.fail_after(60), ExitStack() as network:
        port = network.enter_context(silent_server(accepts=accepts))
        async with open_engine(f"postgresql+asyncpg://parley@127.0.0.1:{port}/parley") as database:
            monkeypatch.setattr("app.data.database.TIMEOUT_S", 0.5)
            answers = await prepare(database, is_required=False)
            monkeypatch.setattr("app.data.database.TIMEOUT_S", 120.0)
            async with (
                open_authentication(Settings(), database, None, database_answers=answers) as authentication,
                open_policy(Settings(), database, ROUTES, CollectorRegistry(), database_answers=answers) as (_, policy),
            ):
                network.close()  # so that what the background asked is over

    assert (answers, authentication.keys.is_loaded, policy.spend_age_s()) == (False, False, None)


@pytest.mark.parametrize("accepts", [True, False], ids=["accepts and is silent", "never accepts"])
async def test_connection_that_is_not_accepted_is_given_up_before_a_transaction_is(monkeypatch, accepts):
    monkeypatch.setattr("app.data.database.CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr("app.data.database.TIMEOUT_S", 120.0)
    with anyio.fail_after(30), silent_server(accepts=accepts) as port:
        async with open_engine(f"postgresql+asyncpg://parley@127.0.0.1:{port}/parley") as database:
            assert not await prepare(database, is_required=False)


@pytest.mark.parametrize("change", [upgrade, current])
async def test_command_gives_up_a_database_that_does_not_accept_its_connection(monkeypatch, change):
    monkeypatch.setattr("app.data.schema_change.CONNECT_TIMEOUT_S", 0.5)
    with anyio.fail_after(30), silent_server(accepts=True) as port, pytest.raises(DATABASE_ERRORS):
        await change(make_url(f"postgresql+asyncpg://parley@127.0.0.1:{port}/parley"))


async def test_spending_is_shared_once_the_database_answers(postgres, closed_port):
    """The start did not wait for it."""
    url = new_database(postgres)
    port = int(url.rpartition(":")[2].partition("/")[0])
    async with open_engine(url.replace(f":{port}/", f":{closed_port}/")) as database:
        answers = await prepare(database, is_required=False)
        async with open_policy(Settings(), database, ROUTES, CollectorRegistry(), database_answers=answers) as (
            _,
            policy,
        ):
            before = policy.spend_age_s()
            async with forwarded(closed_port, port):

                async def is_shared() -> bool:
                    return policy.spend_age_s() is not None

                await until(is_shared, seconds=30)

    assert before is None


async def test_commands_say_that_the_database_does_not_answer_in_time(monkeypatch):
    monkeypatch.setattr("app.data.database.TIMEOUT_S", 0.5)
    with (
        silent_server(accepts=True) as port,
        pytest.raises(SettingsError, match=r"cannot be opened: it does not answer in time"),
    ):
        async with open_database(f"postgresql+asyncpg://parley@127.0.0.1:{port}/parley"):
            pass
