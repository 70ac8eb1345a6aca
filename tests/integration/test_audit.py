"""The audit log over HTTP and sockets: every action is recorded with its actor and outcome, never with speech."""

import json
from dataclasses import dataclass, field

import anyio
import httpx
import pytest

from app.data.api_keys import KeyStore
from app.data.database import open_database
from app.domain.audit import AuditAction, AuditEntry
from app.domain.principal import Principal, Scope
from app.domain.tenant import Tenant, fingerprint
from app.runtime.audit import AuditLog
from app.web.auth.audit import MAX_PEERS, REPEAT_AFTER_S, RefusalThrottle
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 60
ACME = Tenant("acme", (fingerprint("acme-key"),))
GLOBEX = Tenant("globex", (fingerprint("globex-key"),))
OPS = Tenant("ops", (fingerprint("ops-key"),), operator=True)


@dataclass
class MemoryAuditStore:
    entries: list[AuditEntry] = field(default_factory=list)

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    async def find(self, criteria):
        return self.entries[::-1]


@pytest.fixture
def store() -> MemoryAuditStore:
    return MemoryAuditStore()


@pytest.fixture
async def service(store):
    return scripted_service(tenants=lambda: (ACME, GLOBEX, OPS), audit=AuditLog(store))


@pytest.fixture
async def http(service):
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def spoken(http, service) -> str:
    """The id of a session of acme, whose recording is whole in the store."""
    address = f"ws://{http.base_url.netloc.decode()}/ws/transcribe"
    async with open_session(address, key="acme-key") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        session = talk.messages("session")[0].message["id"]
    with anyio.fail_after(5):
        while service.admission.sessions or service.uploader.session_log.records:  # noqa: ASYNC110 because the store tells nobody
            await anyio.sleep(0.005)
    return session


async def test_each_request_for_a_recording_is_in_the_audit_log(http, service, store):
    """Who read, played, linked, searched and deleted; with the owner, where an administrator did it."""
    session = await spoken(http, service)
    store.entries.clear()

    await http.get(f"/recordings/{session}/manifest", headers=bearer("ops-key"))
    await http.get(f"/recordings/{session}/audio", headers=bearer("acme-key"))
    await http.get(f"/recordings/{session}/audio", headers=bearer("globex-key"))
    await http.get(f"/recordings/{session}/links", headers=bearer("acme-key"))
    await http.get("/recordings", headers=bearer("acme-key"))
    await http.delete(f"/recordings/{session}", headers=bearer("acme-key"))

    assert [(e.action, e.outcome, e.key_name, e.tenant, e.target) for e in store.entries] == [
        (AuditAction.RECORDING_READ, "done", "ops", "acme", session),
        (AuditAction.AUDIO_READ, "done", "acme", "acme", session),
        (AuditAction.AUDIO_READ, "refused", "globex", "acme", session),
        (AuditAction.LINKS_SIGNED, "done", "acme", "acme", session),
        (AuditAction.RECORDINGS_LISTED, "done", "acme", "acme", "/recordings"),
        (AuditAction.RECORDING_DELETED, "done", "acme", "acme", session),
    ]
    assert {entry.peer for entry in store.entries} == {"127.0.0.1"}


async def test_start_and_end_of_a_session_are_in_the_audit_log(http, service, store):
    """With the session's length at its end."""
    session = await spoken(http, service)

    assert [(e.action, e.target, e.key_name) for e in store.entries] == [
        (AuditAction.SESSION_STARTED, session, "acme"),
        (AuditAction.SESSION_ENDED, session, "acme"),
    ]
    assert store.entries[1].details["seconds"] >= 0


async def test_refused_keys_are_in_the_audit_log_once_a_minute(http, store):
    """Over HTTP and sockets, on every route; nobody fills the log with them."""
    for path in ("/recordings", "/metrics", "/policy/summary"):
        assert (await http.get(path, headers=bearer("stolen"))).status_code == 401

    (entry,) = store.entries
    assert (entry.action, entry.outcome, entry.target) == ("sign_in_refused", "refused", "/recordings")
    assert (entry.key_id, entry.peer) == ("", "127.0.0.1")


async def test_a_refused_key_on_a_socket_is_in_the_audit_log(http, store):
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe", key="stolen") as talk:
        await talk.wait_until(lambda t: t.messages("error"), timeout_s=5)

    assert [(e.action, e.target) for e in store.entries] == [("sign_in_refused", "/ws/transcribe")]


async def test_requests_of_administrators_are_in_the_audit_log(http, store):
    """But not each scrape of the metrics; and a tenant that may not is refused."""
    await http.get("/admin/sessions", headers=bearer("ops-key"))
    await http.get("/metrics", headers=bearer("ops-key"))
    await http.get("/admin/sessions", headers=bearer("acme-key"))

    assert [(e.action, e.outcome, e.key_name, e.target) for e in store.entries] == [
        ("admin_access", "done", "ops", "/admin/sessions"),
        ("admin_access", "refused", "acme", "/admin/sessions"),
    ]


async def test_the_audit_log_never_contains_speech(http, service, store):
    """A conversation, a search for its words and every way to read it leave none of its words."""
    session = await spoken(http, service)
    words = {"hello", "You said it", "Well done"}
    manifest = (await http.get(f"/recordings/{session}/manifest", headers=bearer("acme-key"))).text
    for path in ("utterances/1", "utterances/1/audio", "audio?format=flac", "replies/1/audio", "links"):
        assert (await http.get(f"/recordings/{session}/{path}", headers=bearer("acme-key"))).status_code == 200
    found = await http.get("/recordings", params={"text": "hello"}, headers=bearer("acme-key"))
    await http.delete(f"/recordings/{session}", headers=bearer("acme-key"))

    entries = json.dumps([[str(getattr(e, name)) for name in AuditEntry.__slots__] for e in store.entries])
    assert all(word in manifest for word in words)
    assert len(found.json()["recordings"]) == 1
    assert len(store.entries) == 10
    assert not any(word.lower() in entries.lower() for word in words)


def test_refusals_of_one_peer_are_counted_between_two_audit_entries():
    now = [0.0]
    throttle = RefusalThrottle(lambda: now[0])

    first, second, other = throttle.repeated("a"), throttle.repeated("a"), throttle.repeated("b")
    now[0] = REPEAT_AFTER_S
    later = throttle.repeated("a")

    assert (first, second, other, later) == (0, None, 0, 1)


def test_refusals_of_many_peers_take_bounded_memory():
    throttle = RefusalThrottle(lambda: 0.0)

    for number in range(2 * MAX_PEERS):
        throttle.repeated(str(number))

    assert throttle.repeated(str(2 * MAX_PEERS - 1)) is None
    assert throttle.repeated("0") == 0


async def test_created_and_revoked_keys_are_in_the_audit_log(http, service, store, tmp_path):
    """The id of the key and its tenant; never its secret."""
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/keys.db") as database:
        service.keys = KeyStore(database)
        wanted = {"name": "front desk", "tenant": "acme", "scopes": ["speak"]}
        made = (await http.post("/admin/keys", json=wanted, headers=bearer("ops-key"))).json()
        await http.delete(f"/admin/keys/{made['id']}", headers=bearer("ops-key"))

    assert [(e.action, e.outcome, e.key_name, e.target) for e in store.entries] == [
        ("key_created", "done", "ops", made["id"]),
        ("key_revoked", "done", "ops", made["id"]),
    ]
    assert store.entries[0].tenant == "acme"
    assert made["key"] not in str(store.entries)


async def test_a_socket_without_the_scope_is_in_the_audit_log(http, service, store):
    """With the key that was presented."""

    class ListenersAlone:
        async def authenticate(self, credential, peer):
            return Principal(ACME, frozenset({Scope.RECORDINGS_READ}), key_id="k1", name="archive reader")

        async def is_valid(self, principal):
            return True

    service.authenticator = ListenersAlone()
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe", key="good") as talk:
        await talk.wait_until(lambda t: t.messages("error"), timeout_s=5)

    (entry,) = store.entries
    assert (entry.action, entry.outcome, entry.key_name) == ("session_started", "refused", "archive reader")
