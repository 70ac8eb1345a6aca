"""A service that starts while its PostgreSQL does not answer: closed until the keys can be read, then as ever."""

import socket
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from app.assembly.authentication import open_authentication, open_key_store
from app.config import Settings
from app.data.api_keys import KeyStore
from app.data.database import open_database
from app.domain.errors import ProviderDown, SettingsError
from app.domain.principal import Scope
from app.domain.tenant import fingerprint
from app.runtime.authentication import UNKNOWN_PEER, FixedKey
from app.runtime.session_tokens import SessionTokens
from tests.eventually import until
from tests.postgres import new_database
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio


@pytest.fixture
def closed_port() -> int:
    """A port of this machine where nothing listens yet."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


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
        open_database(url.replace(f":{port}/", f":{closed_port}/"), is_required=False) as database,
        open_authentication(Settings(), database, None) as authentication,
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
        open_database(url.replace(f":{port}/", f":{closed_port}/"), is_required=False) as database,
        open_authentication(Settings(), database, None) as authentication,
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
        async with open_database(url, is_required=False):
            pass


async def test_commands_require_a_database_that_answers(closed_port):
    with pytest.raises(SettingsError, match="cannot be opened"):
        async with open_database(f"postgresql+asyncpg://parley@127.0.0.1:{closed_port}/parley"):
            pass
