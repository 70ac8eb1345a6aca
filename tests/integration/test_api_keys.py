"""API keys of the database: the store, the HTTP API, the command, and how soon a revocation holds."""

from datetime import UTC, datetime, timedelta

import anyio
import httpx
import pytest
from anyio import to_thread
from click.testing import CliRunner
from sqlalchemy import text
from structlog.testing import capture_logs

from app.cli import parley
from app.data.api_keys import MAX_AGE_S, KeyStore
from app.data.database import open_database
from app.domain.errors import KeyNameTaken, ProviderDown
from app.domain.principal import Scope
from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import DatabaseKeys, Peer
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
ANYWHERE = Peer("203.0.113.7")
SPEAK = frozenset({Scope.SPEAK})


@pytest.fixture
async def database(tmp_path):
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as engine:
        yield engine


@pytest.fixture
async def store(database):
    return await opened(database)


async def opened(engine) -> KeyStore:
    store = KeyStore(engine)
    await store.load()
    return store


async def test_created_key_authenticates_and_only_its_fingerprint_is_stored(url):
    async with open_database(url) as engine:
        store = await opened(engine)

        secret, key = await store.create("web", "acme", SPEAK, None)

        principal = await DatabaseKeys(store).authenticate(secret, ANYWHERE)
        async with engine.connect() as connection:
            rows = str((await connection.execute(text("select * from api_keys"))).all())
    assert secret.startswith("parley_")
    assert len(secret) == len("parley_") + 43
    assert (principal.tenant, principal.scopes, principal.key_id, principal.name) == (
        Tenant("acme"),
        SPEAK,
        key.id,
        "web",
    )
    assert fingerprint(secret) in rows
    assert secret not in rows


async def test_key_made_and_revoked_by_another_process_is_seen_after_one_refresh(url):
    """Two stores on one database, each with its own connections."""
    async with open_database(url) as here, open_database(url) as there:
        store, other = await opened(here), await opened(there)
        keys = DatabaseKeys(store)

        secret, key = await other.create("web", "acme", SPEAK, None)
        await store.refresh()
        made = await keys.authenticate(secret, ANYWHERE)
        await other.revoke(key.id)
        await store.refresh()

        assert made.key_id == key.id
        assert await keys.authenticate(secret, ANYWHERE) is None
        assert await keys.is_valid(made) is False


async def test_revocation_holds_everywhere_within_two_seconds(tmp_path):
    address = f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    async with open_database(address) as here, open_database(address) as there, anyio.create_task_group() as tasks:
        store, other = await opened(here), await opened(there)
        secret, key = await other.create("web", "acme", SPEAK, None)
        tasks.start_soon(store.refresh_loop)
        keys = DatabaseKeys(store)
        with anyio.fail_after(30):
            while await keys.authenticate(secret, ANYWHERE) is None:  # noqa: ASYNC110 because the store tells nobody
                await anyio.sleep(0.05)

        began = anyio.current_time()
        await other.revoke(key.id)
        with anyio.fail_after(30):
            while await keys.authenticate(secret, ANYWHERE) is not None:  # noqa: ASYNC110 because the store tells nobody
                await anyio.sleep(0.05)
        took_s = anyio.current_time() - began
        tasks.cancel_scope.cancel()

    assert took_s < 2


async def test_expired_key_is_refused(store):
    secret, _ = await store.create("web", "acme", SPEAK, datetime.now(UTC) + timedelta(milliseconds=200))
    keys = DatabaseKeys(store)
    principal = await keys.authenticate(secret, ANYWHERE)

    await anyio.sleep(0.3)

    assert principal is not None
    assert await keys.authenticate(secret, ANYWHERE) is None
    assert await keys.is_valid(principal) is False


async def test_name_of_an_active_key_is_taken_within_its_tenant_in_every_process(url):
    async with open_database(url) as here, open_database(url) as there:
        store, other = await opened(here), await opened(there)
        _, key = await store.create("web", "acme", SPEAK, None)

        await other.create("web", "globex", SPEAK, None)
        with pytest.raises(KeyNameTaken, match=f"the tenant acme has an active key web .{key.id}.: revoke it"):
            await other.create("web", "acme", SPEAK, None)

        assert len(store.all_keys()) == 1
        await other.refresh()
        assert sorted(each.tenant for each in other.all_keys()) == ["acme", "globex"]


async def test_name_of_a_revoked_or_expired_key_is_free(store):
    _, revoked = await store.create("web", "acme", SPEAK, None)
    await store.revoke(revoked.id)
    await store.create("web", "acme", SPEAK, datetime.now(UTC) - timedelta(seconds=1))

    _, key = await store.create("web", "acme", SPEAK, None)

    assert store.find_by_id(key.id).is_active(datetime.now(UTC))


async def test_key_has_the_limits_of_its_tenant_and_none_without_the_tenants_table(store):
    """A tenant that is removed from the file is locked out, not served without its limits."""
    secret, _ = await store.create("web", "acme", SPEAK, None)
    acme = Tenant("acme", max_sessions=2)

    found = [
        await DatabaseKeys(store, tenants).authenticate(secret, ANYWHERE)
        for tenants in (None, lambda: (acme,), lambda: (Tenant("globex"),))
    ]

    assert [principal and principal.tenant for principal in found] == [Tenant("acme"), acme, None]


async def test_keys_are_refused_once_revocations_cannot_be_seen(store):
    """The snapshot outlives a failover of the database, and no longer."""
    secret, _ = await store.create("web", "acme", SPEAK, None)
    keys = DatabaseKeys(store)

    store._fresh_at = anyio.current_time() - MAX_AGE_S + 60
    accepted = await keys.authenticate(secret, ANYWHERE)
    store._fresh_at -= 120

    assert accepted is not None
    with pytest.raises(ProviderDown):
        await keys.authenticate(secret, ANYWHERE)


async def test_unavailable_database_keeps_the_snapshot_and_the_loop_alive(store, database):
    secret, _ = await store.create("web", "acme", SPEAK, None)
    async with database.begin() as connection:
        await connection.execute(text("alter table api_keys rename to elsewhere"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.refresh_loop)
        with anyio.fail_after(30):
            while store.is_available:  # noqa: ASYNC110 because the store tells nobody
                await anyio.sleep(0.05)
        during = await DatabaseKeys(store).authenticate(secret, ANYWHERE)
        async with database.begin() as connection:
            await connection.execute(text("alter table elsewhere rename to api_keys"))
        with anyio.fail_after(30):
            while not store.is_available:  # noqa: ASYNC110 because the store tells nobody
                await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()

    assert during is not None


async def test_time_of_last_use_is_stored(url):
    async with open_database(url) as engine:
        store = await opened(engine)
        secret, key = await store.create("web", "acme", SPEAK, None)
        await DatabaseKeys(store).authenticate(secret, ANYWHERE)

        await store.write_last_used()
        await store.refresh(force=True)

        used = store.find_by_id(key.id).last_used
    assert abs(datetime.now(UTC) - used) < timedelta(minutes=1)


async def test_signing_secret_is_made_once_for_all_processes(url):
    async with open_database(url) as here, open_database(url) as there:
        first, second = KeyStore(here), KeyStore(there)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.load_signing_secrets)
            tasks.start_soon(second.load_signing_secrets)
        await first.load_signing_secrets()

    assert first.signing_secrets == second.signing_secrets
    assert [len(secret) for secret in first.signing_secrets.values()] == [32]


# -- Over HTTP --------------------------------------------------------------------------------------


@pytest.fixture
async def address(store):
    service = scripted_service(authenticator=DatabaseKeys(store), keys=store)
    async with served(service) as where:
        yield where


@pytest.fixture
async def admin(store, address):
    secret, _ = await store.create("ops", "default", frozenset({Scope.ADMIN}), None)
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers) as client:
        yield client


async def test_admin_creates_lists_and_revokes_a_key(admin):
    """The secret is in the answer to its creation alone; a revoked key is 401 at once."""
    made = await admin.post("/admin/keys", json={"name": "web", "tenant": "acme", "scopes": ["recordings:read"]})
    key = made.json()
    bearer = {"authorization": f"Bearer {key['key']}"}
    before = (await admin.get("/recordings", headers=bearer)).status_code

    revoked = await admin.delete(f"/admin/keys/{key['id']}")

    after = (await admin.get("/recordings", headers=bearer)).status_code
    listed = await admin.get("/admin/keys")
    assert (made.status_code, made.headers["cache-control"], revoked.status_code) == (201, "no-store", 204)
    assert (before, after) == (200, 401)
    shown = next(each for each in listed.json()["keys"] if each["id"] == key["id"])
    assert (shown["name"], shown["tenant"], shown["scopes"], shown["state"]) == (
        "web",
        "acme",
        ["recordings:read"],
        "revoked",
    )
    assert key["key"] not in listed.text
    assert fingerprint(key["key"]) not in listed.text


async def test_second_active_key_of_one_name_is_409(admin):
    body = {"name": "web", "tenant": "acme", "scopes": ["speak"]}
    first = await admin.post("/admin/keys", json=body)

    second = await admin.post("/admin/keys", json=body)

    assert (first.status_code, second.status_code, second.json()["code"]) == (201, 409, "key_name_taken")
    assert "revoke it or choose another name" in second.json()["message"]


async def test_absent_key_cannot_be_revoked(admin):
    answer = await admin.delete("/admin/keys/000000000000")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 5000,
        b'{"name": "x"}',
        b'{"name": "", "scopes": ["speak"]}',
        b'{"name": "x", "scopes": []}',
        b'{"name": "x", "scopes": ["root"]}',
        b'{"name": "x", "scopes": ["speak"], "tenant": "../a"}',
        b'{"name": "x", "scopes": ["speak"], "expires": "2001-01-01T00:00:00Z"}',
        b'{"name": "x", "scopes": ["speak"], "expires": "2999-01-01T00:00:00"}',
        b'{"name": "x", "scopes": ["speak"], "expire": "2999-01-01T00:00:00Z"}',
    ],
)
async def test_key_that_cannot_be_made_is_400_with_a_sentence(admin, body):
    answer = await admin.post("/admin/keys", content=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


async def test_key_may_expire_at_the_end_of_the_calendar(admin):
    body = {"name": "x", "scopes": ["speak"], "expires": "9999-12-31T23:59:59-23:59"}

    made = await admin.post("/admin/keys", json=body)

    assert (made.status_code, made.json()["state"]) == (201, "active")


async def test_key_that_is_not_utf8_is_400(admin):
    answer = await admin.post("/admin/keys", content=b'{"name":"\xff","scopes":["speak"]}')

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


async def test_wrong_keys_are_counted_in_a_metric(admin):
    await admin.get("/recordings", headers={"authorization": "Bearer wrong"})

    assert 'parley_refused_authentications_total{reason="wrong_key"} 1.0' in (await admin.get("/metrics")).text


async def test_wrong_keys_from_one_address_are_limited_and_a_right_one_is_not(admin):
    """An address in a forwarded header makes the client a remote one."""
    remote = {"x-forwarded-for": "203.0.113.9"}
    wrong = {**remote, "authorization": "Bearer wrong"}

    statuses = [(await admin.get("/recordings", headers=wrong)).status_code for _ in range(25)]
    last = await admin.get("/recordings", headers=wrong)

    assert statuses[:20] == [401] * 20
    assert (last.status_code, last.json()["code"]) == (429, "too_many_attempts")
    assert int(last.headers["retry-after"]) > 0
    assert (await admin.get("/recordings", headers=remote)).status_code == 200


# -- The command ------------------------------------------------------------------------------------


def run(*words: str):
    return CliRunner().invoke(parley, words)


async def test_keys_command_prints_the_key_alone_on_standard_output(monkeypatch, tmp_path):
    monkeypatch.setenv("PARLEY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/parley.db")
    create = ("keys", "create", "web", "--tenant", "acme", "--scope", "speak", "--scope", "chat", "--expires", "30d")

    made = await to_thread.run_sync(lambda: run(*create))

    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as engine:
        principal = await DatabaseKeys(await opened(engine)).authenticate(made.stdout.strip(), ANYWHERE)
    assert made.exit_code == 0
    assert made.stdout.count("\n") == 1
    assert (principal.tenant.name, principal.scopes) == ("acme", {Scope.SPEAK, Scope.CHAT})


async def test_keys_command_lists_and_revokes_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PARLEY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/parley.db")
    monkeypatch.setenv("COLUMNS", "200")
    secret = (await to_thread.run_sync(lambda: run("keys", "create", "web", "--scope", "speak"))).stdout.strip()

    revoked = await to_thread.run_sync(lambda: run("keys", "revoke", "web"))

    listed = (await to_thread.run_sync(lambda: run("keys", "list"))).stdout
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    assert "web" in listed
    assert "revoked" in listed
    assert secret not in listed


async def test_keys_command_refuses_a_second_active_key_of_one_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PARLEY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/parley.db")
    create = ("keys", "create", "alice", "--scope", "speak")
    first = await to_thread.run_sync(lambda: run(*create))

    second = await to_thread.run_sync(lambda: run(*create))

    await to_thread.run_sync(lambda: run("keys", "revoke", "alice"))
    third = await to_thread.run_sync(lambda: run(*create))
    assert (first.exit_code, second.exit_code, second.stdout, third.exit_code) == (0, 1, "", 0)
    assert "revoke it or choose another name" in str(second.exception)


async def test_keys_command_says_that_there_is_no_key_of_an_unknown_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PARLEY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/parley.db")

    result = await to_thread.run_sync(lambda: run("keys", "revoke", "nobody"))

    assert str(result.exception) == "there is no key nobody"


async def test_keys_command_at_a_running_server(admin, address):
    where = ("--url", f"http://{address}", "--key", admin.headers["authorization"].removeprefix("Bearer "))

    with capture_logs():  # the server of this process has no log on standard error as `parley serve` has
        made = await to_thread.run_sync(lambda: run("keys", "create", "web", "--scope", "recordings:read", *where))
    bearer = {"authorization": f"Bearer {made.stdout.strip()}"}
    before = (await admin.get("/recordings", headers=bearer)).status_code
    revoked = await to_thread.run_sync(lambda: run("keys", "revoke", "web", *where))

    assert (made.exit_code, revoked.exit_code, before) == (0, 0, 200)
    assert (await admin.get("/recordings", headers=bearer)).status_code == 401
