"""Running sessions: listed and ended by an administrator, drained, and ended with their key."""

import anyio
import httpx
import pytest
from click.testing import CliRunner

from app.cli.sessions import sessions as command
from app.domain.errors import ParleyError, ProviderDown, ProviderRefused
from app.domain.principal import Principal
from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import TenantKeys
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 30
ACME = Tenant("acme", (fingerprint("acme-key"),))
GLOBEX = Tenant("globex", (fingerprint("globex-key"),))
OPS = Tenant("ops", (fingerprint("ops-key"),), operator=True)
AS_OPS = {"Authorization": "Bearer ops-key"}


@pytest.fixture
async def service():
    service = scripted_service(tenants=lambda: (ACME, GLOBEX, OPS))
    service.running_sessions.check_every_s = 0.02
    return service


@pytest.fixture
async def address(service):
    async with served(service) as where:
        yield where


@pytest.fixture
async def http(address):
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20, headers=AS_OPS) as client:
        yield client


async def started(talk) -> str:
    """The session's id, once it is admitted."""
    assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
    return talk.messages("session")[0].message["id"]


async def closed(talk) -> tuple[int, str]:
    """The close code and the code of the last error, once the server has closed."""
    await talk.wait_until(lambda t: t.closed, timeout_s=5)
    assert talk.closed
    return talk.closed[0], talk.messages("error")[-1].message["code"]


async def test_admin_lists_running_sessions_with_their_key_client_and_audio(address, http):
    async with open_session(f"ws://{address}/ws/transcribe", key="acme-key") as talk:
        session = await started(talk)
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)

        answer = (await http.get("/admin/sessions")).json()
        of_globex = (await http.get("/admin/sessions?tenant=globex")).json()

    (listed,) = answer["sessions"]
    assert (listed["id"], listed["tenant"], listed["keyName"]) == (session, "acme", "acme")
    assert len(listed["keyId"]) >= 12
    assert listed["keyId"] in fingerprint("acme-key")
    assert (listed["address"], listed["audioSeconds"], listed["costUsd"]) == ("127.0.0.1", 1.5, 0)
    assert (listed["state"], "websockets" in listed["userAgent"], answer["draining"]) == ("active", True, False)
    assert of_globex["sessions"] == []


async def test_admin_ends_one_session_and_its_audio_is_archived(address, http, service):
    """With a code, 1008, and a complete manifest; other sessions go on."""
    url = f"ws://{address}/ws/transcribe"
    async with open_session(url, key="acme-key") as ended, open_session(url, key="acme-key") as other:
        session = await started(ended)
        await started(other)
        await ended.send_audio(SPEECH * 20, pace=0)
        assert await ended.wait_until(lambda t: t.messages("realtime"), timeout_s=5)

        answer = await http.delete(f"/admin/sessions/{session}")

        assert await closed(ended) == (1008, "session_ended_by_admin")
        manifest = await stored_manifest(service, session)
        await other.send_audio(TURN, pace=0)
        assert await other.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)
        again = await http.delete(f"/admin/sessions/{session}")
        metrics = (await http.get("/metrics")).text

    assert (answer.status_code, answer.json()) == (200, {"ended": [session]})
    assert [(f["start"], f["end"], f["text"]) for f in manifest["finals"]] == [(0, 20 * 480, "hello")]
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    assert 'parley_closed_sessions_total{code="session_ended_by_admin"} 1.0' in metrics
    assert "parley_connected_sessions 1.0" in metrics


async def test_admin_ends_every_session_of_a_tenant(address, http, service):
    url = f"ws://{address}/ws/transcribe"
    async with (
        open_session(url, key="acme-key") as one,
        open_session(url, key="acme-key") as two,
        open_session(url, key="globex-key") as other,
    ):
        for talk in (one, two, other):
            await started(talk)

        answer = await http.delete("/admin/sessions?tenant=acme")

        assert [await closed(one), await closed(two)] == [(1008, "session_ended_by_admin")] * 2
        assert other.closed is None
        await until(lambda: holds(len(service.admission.sessions) == 1))

    assert len(answer.json()["ended"]) == 2


async def test_ending_sessions_without_a_tenant_is_refused(http):
    """So that a missing parameter does not end everybody's."""
    answer = await http.delete("/admin/sessions")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_draining_server_refuses_new_sessions_with_1012_and_keeps_running_ones(address, http):
    url = f"ws://{address}/ws/transcribe"
    async with open_session(url, key="acme-key") as running:
        await started(running)

        drained = (await http.post("/admin/drain")).json()

        async with open_session(url, key="acme-key") as refused:
            assert await closed(refused) == (1012, "draining")
        upload = await http.post("/recordings", content=b"", headers=AS_OPS)
        health = (await http.get("/health")).json()
        ready, live = [(await http.get(f"/health/{each}")).status_code for each in ("ready", "live")]
        await running.send_audio(TURN, pace=0)
        assert await running.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)
        await http.delete("/admin/drain")
        async with open_session(url, key="acme-key") as admitted:
            await started(admitted)

    assert (drained, health["status"], upload.status_code) == ({"draining": True, "sessions": 1}, "draining", 503)
    assert (ready, live) == (503, 200)


@pytest.mark.parametrize(("method", "path"), [("POST", "/admin/drain"), ("GET", "/admin/sessions")])
async def test_foreign_page_cannot_use_an_administrators_browser(method, path):
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answer = await http.request(method, path, headers={"Origin": "http://evil.example"})
        health = (await http.get("/health")).json()

    assert (answer.status_code, answer.json()["code"], health["status"]) == (403, "origin_refused", "ok")


async def test_session_ends_when_its_key_is_removed_from_the_tenants_file(address, service):
    """Within two checks; a session of another key goes on."""
    url = f"ws://{address}/ws/transcribe"
    async with open_session(url, key="acme-key") as revoked, open_session(url, key="globex-key") as other:
        session = await started(revoked)
        await started(other)
        await revoked.send_audio(SPEECH * 20, pace=0)
        assert await revoked.wait_until(lambda t: t.messages("realtime"), timeout_s=5)

        service.tenants = lambda: (GLOBEX, OPS)

        with anyio.fail_after(2):
            assert await closed(revoked) == (1008, "unauthorized")
        manifest = await stored_manifest(service, session)
        assert other.closed is None

    assert manifest["samples"] == 20 * 480


class UnreachableKeys(TenantKeys):
    """Knows its keys at the handshake, and cannot be asked afterwards."""

    async def is_valid(self, principal: Principal) -> bool:
        raise ProviderDown("keys", "the database is gone")


async def test_sessions_go_on_while_their_keys_cannot_be_checked(service):
    """An unreachable store of keys ends nobody's session."""
    service.authenticator = UnreachableKeys(lambda: (ACME,))
    async with served(service) as address, open_session(f"ws://{address}/ws/transcribe", key="acme-key") as talk:
        await started(talk)
        await anyio.sleep(5 * service.running_sessions.check_every_s)
        await talk.send_audio(TURN, pace=0)

        assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)


# -- The command ------------------------------------------------------------------------------------


async def ran(*arguments: str):
    """The command's result; it runs in a thread, because the server is in this event loop."""
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(command, arguments, env={"COLUMNS": "250"}))


async def test_command_lists_ends_and_drains(address):
    where = ("--url", f"http://{address}", "--key", "ops-key")
    async with open_session(f"ws://{address}/ws/transcribe", key="acme-key") as talk:
        session = await started(talk)
        listed = await ran("list", *where)
        ended = await ran("end", session, *where)
        assert await closed(talk) == (1008, "session_ended_by_admin")
    nothing = await ran("end", "--tenant", "globex", *where)
    drained = await ran("drain", *where)

    assert (session in listed.output, "acme" in listed.output) == (True, True)
    assert ended.output.endswith(f"{session} is ended\n")
    assert nothing.output.endswith("the tenant globex has no running session\n")
    assert "the server is draining; " in drained.output


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("list", "--key", "acme-key"), ProviderRefused, "an administrator's key is needed"),
        (("list", "--key", "wrong"), ProviderRefused, "an administrator's key is needed"),
        (("end", "0" * 32, "--key", "ops-key"), ProviderRefused, "no such session runs there"),
    ],
)
async def test_command_says_why_a_server_refuses(address, arguments, error, words):
    result = await ran(*arguments, "--url", f"http://{address}")

    assert (type(result.exception), words in str(result.exception)) == (error, True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "localhost:8000", "http://["])
async def test_command_names_an_address_where_no_server_answers(url):
    result = await ran("list", "--url", url)

    assert isinstance(result.exception, ParleyError)
    assert url in str(result.exception)


async def test_command_ends_one_session_or_one_tenant_and_never_all():
    result = await ran("end")

    assert (result.exit_code, "name one session" in result.output) == (2, True)


async def holds(value: bool) -> bool:
    return value
