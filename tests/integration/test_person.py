"""The person who speaks: from a token or a key into the recording, into lists, and out again in one export."""

import io
import json
from zipfile import ZipFile

import anyio
import httpx
import pytest
from anyio import to_thread
from click.testing import CliRunner

from app.cli.export import export
from app.data.audit import audit_in
from app.data.database import open_database
from app.domain.audit import AuditFilter
from app.domain.tenant import Tenant, fingerprint
from app.runtime.audit import AuditLog
from app.runtime.authentication import AnyOf, TenantKeys
from app.runtime.ids import new_id
from app.runtime.recording.uploader import Uploader
from app.runtime.session_tokens import SessionTokens
from storage.filesystem import open_filesystem
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, MemoryBlobStore, MemorySessionLog
from tests.integration.test_audit import MemoryAuditStore
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session
from tests.unit.test_deletion import is_uploaded, process, speak

pytestmark = pytest.mark.anyio
ACME = Tenant("acme", (fingerprint("acme-key"),))
GLOBEX = Tenant("globex", (fingerprint("globex-key"),))
OPS = Tenant("ops", (fingerprint("ops-key"),), operator=True)
ODD = [
    "../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows",
    'a"; filename="b.exe',
    "it's; DROP TABLE audit --",
    "<script>alert(1)</script>",
    "Grüße 人 💬",
    "100%25 a+b&c=d#e?f",
    "{session}${HOME}",
]


@pytest.fixture
async def service():
    keys = TenantKeys(lambda: (ACME, GLOBEX, OPS))
    tokens = SessionTokens(lambda: {"1": b"s" * 64}, [keys])
    store, log = MemoryBlobStore(), MemorySessionLog()
    return scripted_service(
        authenticator=AnyOf([keys, tokens]),
        session_tokens=tokens,
        uploader=Uploader(log, store, write_interval_s=0.0),
        audit=AuditLog(MemoryAuditStore()),
    )


@pytest.fixture
async def http(service):
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as client:
        yield client


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


async def token(http, *scopes: str, **fields) -> str:
    answer = await http.post("/auth/session-tokens", json={"scopes": scopes, **fields}, headers=bearer("acme-key"))
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


async def spoken(http, credential: str, *configured: dict, behind_audio: bool = False) -> tuple[str, list[dict]]:
    """The id of a session in which something was said, and the errors that its client was told."""
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe", key=credential) as talk:
        if behind_audio:
            await talk.send_audio(SPEECH * 30, pace=0)
        for fields in configured:
            await talk.send_message(type="configure", **fields)
        await talk.send_audio(SPEECH * 30 + SILENCE * 40, pace=0)
        assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=20)
        errors = [each.message for each in talk.messages("error")]
        return talk.messages("session")[0].message["id"], errors


async def uploaded(http, credential: str, **query: str) -> httpx.Response:
    return await http.post("/recordings", params=query, content=HANDS.path.read_bytes(), headers=bearer(credential))


async def person_of(service, session: str) -> str | None:
    return (await stored_manifest(service, session))["person"]


def sessions_in(archive: httpx.Response | bytes) -> list[str]:
    content = archive if isinstance(archive, bytes) else archive.content
    with ZipFile(io.BytesIO(content)) as zipped:
        assert zipped.testzip() is None
        return sorted(json.loads(zipped.read("export.json"))["sessions"])


def entries_in(archive: httpx.Response, name: str) -> list[dict]:
    with ZipFile(io.BytesIO(archive.content)) as zipped:
        return [json.loads(line) for line in zipped.read(name).splitlines()]


# -- Who says who speaks ----------------------------------------------------------------------------


async def test_person_of_a_session_token_is_recorded_and_cannot_be_overridden_on_a_socket(http, service):
    """The refusal ends nothing: the session goes on, as the person that the token says."""
    visitor = await token(http, "speak", person="anna")

    session, errors = await spoken(http, visitor, {"person": "bert"})

    assert [(error["code"], error["fatal"]) for error in errors] == [("forbidden", False)]
    assert await person_of(service, session) == "anna"


async def test_person_of_a_session_token_is_recorded_and_cannot_be_overridden_by_an_upload(http, service):
    visitor = await token(http, "transcribe", person="anna")

    refused = await uploaded(http, visitor, person="bert")
    resumable = await http.post(
        "/recordings/uploads", params={"person": "bert"}, headers={**bearer(visitor), "upload-length": "10"}
    )
    taken = await uploaded(http, visitor)

    assert [(each.status_code, each.json()["code"]) for each in (refused, resumable)] == [(403, "forbidden")] * 2
    assert service.jobs.rows.keys() == {taken.json()["id"]}
    assert await person_of(service, taken.json()["id"]) == "anna"


async def test_person_cannot_be_named_with_a_token_that_names_none(http, service):
    """Else a visitor could put words into somebody else's export."""
    session, errors = await spoken(http, await token(http, "speak"), {"person": "anna"})

    assert [error["code"] for error in errors] == ["forbidden"]
    assert await person_of(service, session) is None


async def test_token_for_no_person_at_all_is_refused(http):
    for person in ("", "a\nb", "a" * 129, 7):
        answer = await http.post(
            "/auth/session-tokens", json={"scopes": ["speak"], "person": person}, headers=bearer("acme-key")
        )

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_message"), person


async def test_holder_of_a_key_names_the_person_before_the_first_audio(http, service):
    """The newest name counts."""
    session, errors = await spoken(http, "acme-key", {"person": "bert"}, {"person": "anna", "language": "en"})

    assert errors == []
    assert await person_of(service, session) == "anna"


async def test_person_cannot_be_named_or_changed_after_the_first_audio(http, service):
    session, errors = await spoken(http, "acme-key", {"person": "anna"}, behind_audio=True)

    assert [error["code"] for error in errors] == ["bad_message"]
    assert "before the first audio" in errors[0]["message"]
    assert await person_of(service, session) is None


async def test_person_of_a_session_that_is_not_recorded_is_kept_nowhere(http, service):
    session, errors = await spoken(http, "acme-key", {"person": "anna", "archive": False})
    await until(lambda: is_uploaded(service.uploader))

    assert errors == []
    assert service.store.blobs == {}
    assert all("anna" not in str(entry) for entry in service.audit.store.entries), session


async def test_person_of_a_resumable_upload_is_in_its_recording(service, http):
    """It is in the row of the job, for whichever process makes the recording."""
    file = HANDS.path.read_bytes()
    headers = {**bearer("acme-key"), "upload-length": str(len(file))}
    where = (await http.post("/recordings/uploads", params={"person": "anna"}, headers=headers)).headers["location"]
    await http.patch(where, headers={**bearer("acme-key"), "upload-offset": "0"}, content=file)

    assert (await stored_manifest(service, where.rpartition("/")[2]))["person"] == "anna"


# -- Odd characters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ODD)
async def test_person_of_odd_characters_goes_through_socket_upload_list_and_export(http, service, person):
    """It is compared, never interpreted: it names no file, no key of the store and no header."""
    session, errors = await spoken(http, "acme-key", {"person": person})
    upload = (await uploaded(http, "acme-key", person=person)).json()["id"]
    manifests = [await stored_manifest(service, each) for each in (session, upload)]

    async def are_listed() -> bool:
        nonlocal listed
        listed = await http.get("/recordings", params={"person": person}, headers=bearer("acme-key"))
        return len(listed.json()["recordings"]) == 2

    listed = None
    await until(are_listed)
    exported = await http.get("/recordings/export", params={"person": person}, headers=bearer("acme-key"))

    assert errors == []
    assert [manifest["person"] for manifest in manifests] == [person] * 2
    assert {(each["id"], each["person"]) for each in listed.json()["recordings"]} == {
        (session, person),
        (upload, person),
    }
    assert exported.headers["content-disposition"] == 'attachment; filename="person.zip"'
    assert sessions_in(exported) == sorted([session, upload])
    names = ZipFile(io.BytesIO(exported.content)).namelist()
    assert {name.split("/")[0] for name in names} == {session, upload, "jobs.json", "export.json"}
    assert not any(person in key for key in service.store.blobs)


@pytest.mark.parametrize("query", ["", "%00", "a%0ab", "%ff", "a" * 129, "%20a"])
async def test_person_that_is_none_is_refused_by_uploads_and_exports(http, query):
    for method, path in (("POST", "/recordings"), ("POST", "/recordings/uploads"), ("GET", "/recordings/export")):
        headers = {**bearer("acme-key"), "upload-length": "10"}
        answer = await http.request(method, f"{path}?person={query}", headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_message"), path


# -- Lists and exports ------------------------------------------------------------------------------


@pytest.fixture
async def recordings(http, service) -> dict[str, str]:
    """Ids of stored recordings: two of acme's anna, four of others, of whom one is an anna of another tenant."""
    made = {}
    for name, tenant, person in (
        ("anna 1", ACME, "anna"),
        ("anna 2", ACME, "anna"),
        ("bert", ACME, "bert"),
        ("Anna", ACME, "Anna"),
        ("nobody", ACME, None),
        ("other anna", GLOBEX, "anna"),
    ):
        made[name] = new_id()
        async with service.uploader.record_session(made[name], tenant, person=person) as recorder:
            await speak(recorder, 1)
    await until(lambda: is_uploaded(service.uploader))
    return made


async def test_export_of_a_person_has_exactly_its_sessions_in_its_tenant(http, recordings):
    """The same identifier in another tenant is another person."""
    own = await http.get("/recordings/export?person=anna", headers=bearer("acme-key"))
    other = await http.get("/recordings/export?person=anna&tenant=globex", headers=bearer("globex-key"))

    assert sessions_in(own) == sorted([recordings["anna 1"], recordings["anna 2"]])
    assert sessions_in(other) == [recordings["other anna"]]
    assert not any(name.endswith("audit.jsonl") for name in ZipFile(io.BytesIO(own.content)).namelist())


async def test_export_of_another_tenants_person_is_answered_like_that_of_nobody(http, recordings):
    answers = [
        await http.get(f"/recordings/export?person={query}", headers=bearer("acme-key"))
        for query in ("anna&tenant=globex", "anna&tenant=nowhere", "nobody")
    ]

    assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}


async def test_export_of_a_person_by_an_administrator_has_audit_entries_and_is_one_itself(
    http, service, recordings, tmp_path
):
    """An administrator names the tenant; without it, it is its own."""
    session, url = recordings["anna 1"], f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    async with open_database(url) as database, audit_in(database) as service.audit.store:
        await http.get(f"/recordings/{session}/audio", headers=bearer("acme-key"))
        own = await http.get("/recordings/export?person=anna", headers=bearer("ops-key"))

        first = await http.get("/recordings/export?person=anna&tenant=acme", headers=bearer("ops-key"))
        second = await http.get("/recordings/export?person=anna&tenant=acme", headers=bearer("ops-key"))

    assert own.status_code == 404
    assert [entry["action"] for entry in entries_in(first, f"{session}/audit.jsonl")] == ["audio_read"]
    assert entries_in(first, f"{recordings['anna 2']}/audit.jsonl") == entries_in(first, "audit.jsonl") == []
    assert [(entry["action"], entry["target"], entry["tenant"]) for entry in entries_in(second, "audit.jsonl")] == [
        ("recording_exported", "person:anna", "acme")
    ]


async def test_export_of_a_person_names_recordings_whose_manifest_is_damaged(http, service, recordings):
    """They may be the person's, and nobody can tell."""
    damaged = recordings["anna 1"]
    (key,) = [key for key in service.store.blobs if key.endswith(f"{damaged}/manifest.json")]
    service.store.blobs[key] = b"damaged"

    answer = await http.get("/recordings/export?person=anna", headers=bearer("acme-key"))

    report = json.loads(ZipFile(io.BytesIO(answer.content)).read("export.json"))
    assert (report["sessions"], report["unreadable"]) == ([recordings["anna 2"]], [damaged])


async def test_list_has_the_recordings_of_one_person(http, recordings):
    listed = await http.get("/recordings?person=anna", headers=bearer("acme-key"))
    everything = await http.get("/recordings", headers=bearer("acme-key"))

    assert {each["id"] for each in listed.json()["recordings"]} == {recordings["anna 1"], recordings["anna 2"]}
    assert {each["id"]: each["person"] for each in everything.json()["recordings"]}[recordings["nobody"]] is None


async def test_export_needs_the_scope_to_read_recordings(http):
    visitor = await token(http, "speak", person="anna")

    answer = await http.get("/recordings/export?person=anna", headers=bearer(visitor))

    assert answer.status_code == 403


# -- The command ------------------------------------------------------------------------------------


async def run_export(*arguments: str):
    return await to_thread.run_sync(CliRunner().invoke, export, [*arguments, "--output", "out.zip"])


@pytest.fixture
async def archive(tmp_path, monkeypatch) -> dict[str, str]:
    """Ids of recordings in a folder: one each of acme's, of the default tenant's, and of another person."""
    monkeypatch.chdir(tmp_path)
    made = {name: f"01a21605abe373c59de711fe5243d20{number}" for number, name in enumerate(("acme", "default", "bert"))}
    async with open_filesystem(folder=tmp_path / "recordings") as store:
        uploader = process(store)
        async with uploader.running():
            for name, tenant, person in (
                ("acme", ACME, ODD[0]),
                ("default", Tenant(), ODD[0]),
                ("bert", ACME, "bert"),
            ):
                async with uploader.record_session(made[name], tenant, person=person) as recorder:
                    await speak(recorder, 2)
            await until(lambda: is_uploaded(uploader))
    return made


async def test_export_command_of_a_person_prints_the_ids_and_is_audited(archive):
    result = await run_export("--person", ODD[0], "--tenant", "acme")

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [f"recordings/{archive['acme']}"]
    assert sessions_in(await anyio.Path("out.zip").read_bytes()) == [archive["acme"]]
    async with open_database("sqlite+aiosqlite:///parley.db") as database, audit_in(database) as table:
        (entry,) = await table.find(AuditFilter())
    assert (entry.action, entry.target, entry.tenant) == ("recording_exported", f"person:{ODD[0]}", "acme")


async def test_export_command_of_a_person_without_a_tenant_is_for_the_default_tenant(archive):
    result = await run_export("--person", ODD[0])

    assert result.stdout.splitlines() == [f"recordings/{archive['default']}"], result.output


async def test_export_command_of_a_person_without_recordings_writes_nothing(archive):
    result = await run_export("--person", "bert")

    assert result.exit_code == 1
    assert "no recording of this person in the tenant default" in result.output
    assert [path.name async for path in anyio.Path().glob("*.zip")] == []


@pytest.mark.parametrize(
    "arguments",
    [(), ("--person", "a", "--session", "b"), ("--session", "a", "--tenant", "b"), ("--person", "a\nb")],
    ids=["nothing", "person and session", "session and tenant", "no person"],
)
async def test_export_command_says_what_to_ask_for(arguments):
    result = await run_export(*arguments)

    assert result.exit_code == 2
    assert "--person" in result.output or "person must have" in result.output
