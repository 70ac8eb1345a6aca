"""The export of a person or a tenant has conversations and jobs as well, and what it prints can be deleted."""

import io
import json
from dataclasses import dataclass, replace
from zipfile import ZipFile

import anyio
import pytest
from anyio import to_thread
from click.testing import CliRunner

from app.cli.export import export
from app.data.conversations import ConversationTable
from app.data.database import open_database
from app.data.jobs import JobTable
from app.domain.conversations.message import Conversation, StoredMessage
from app.domain.dialog.conversation import Role
from app.domain.job import JobState, TranscriptionJob
from app.domain.principal import Principal, Scope
from app.domain.tenant import Tenant
from app.runtime.ids import new_id, new_row_number
from app.runtime.jobs.job_store import utc_now
from app.runtime.recording import rows_export
from app.web.recordings.export import _rows_for
from tests.integration.conversation_service import bearer, conversation_server
from tests.manifests import NOON

pytestmark = pytest.mark.anyio
AT = "2026-11-20T12:00:00.000+00:00"
URL = "sqlite+aiosqlite:///parley.db"


@dataclass
class Kept:
    """Ids: a conversation and a job each."""

    conversation: str
    job: str

    @property
    def printed(self) -> list[str]:
        return [f"recordings/{self.job}", f"conversations/{self.conversation}"]


@pytest.fixture
async def kept(tmp_path, monkeypatch) -> dict[tuple[str, str | None], Kept]:
    """By tenant and person; nobody has a recording."""
    monkeypatch.chdir(tmp_path)
    made = {}
    async with open_database(URL) as database:
        for tenant, person in (("acme", "anna"), ("acme", "bert"), ("acme", None), ("globex", "anna")):
            own = made[tenant, person] = Kept(new_id(), new_id())
            table = ConversationTable(database)
            await table.create(Conversation(own.conversation, tenant, AT, AT, person=person or ""))
            said = StoredMessage(new_row_number(), Role.USER, f"I am {person} of {tenant}.", AT)
            await table.begin_reply(own.conversation, said, now=NOON, until=NOON)
            await table.end_reply(own.conversation, None)
            now = utc_now()
            # One that is over: a server would take a queued one, and its recording could not be deleted meanwhile.
            job = TranscriptionJob(own.job, tenant, now, now, now, state=JobState.FAILED, person=person)
            await JobTable(database).add(job, lambda _: None)
    return made


async def run_export(*arguments: str):
    return await to_thread.run_sync(CliRunner().invoke, export, [*arguments, "--output", "out.zip"])


async def archive() -> ZipFile:
    return ZipFile(io.BytesIO(await anyio.Path("out.zip").read_bytes()))


async def test_export_command_has_conversations_and_jobs_of_the_person_alone(kept):
    """A person without a recording is found; the same identifier in another tenant is another person."""
    anna = kept["acme", "anna"]

    result = await run_export("--person", "anna", "--tenant", "acme")

    assert result.stdout.splitlines() == anna.printed, result.output
    made = await archive()
    names = [name for name in made.namelist() if name.startswith("conversations/") or name == "jobs.json"]
    assert names == [f"conversations/{anna.conversation}.json", "jobs.json"]
    conversation = json.loads(made.read(names[0]))
    assert (conversation["person"], [each["text"] for each in conversation["messages"]]) == (
        "anna",
        ["I am anna of acme."],
    )
    assert [(job["id"], job["person"]) for job in json.loads(made.read("jobs.json"))] == [(anna.job, "anna")]


async def test_export_command_has_conversations_and_jobs_of_the_whole_tenant(kept, monkeypatch):
    """However many pages they are."""
    monkeypatch.setattr(rows_export, "PAGE", 2)
    own = [found for (tenant, _), found in kept.items() if tenant == "acme"]

    result = await run_export("--tenant", "acme")

    assert sorted(result.stdout.splitlines()) == sorted(line for found in own for line in found.printed)
    assert len(json.loads((await archive()).read("jobs.json"))) == 3


async def test_export_command_of_an_unknown_person_says_so(kept):
    result = await run_export("--person", "carla", "--tenant", "acme")

    assert result.exit_code == 1
    assert "no recording of this person in the tenant acme, and no conversation" in result.output


async def test_export_over_http_has_conversations_and_what_is_printed_is_deleted(kept):
    """By the paths that the command prints; a second export finds nothing."""
    command = await run_export("--person", "anna", "--tenant", "acme")
    anna = kept["acme", "anna"]
    async with conversation_server(URL) as server:
        server.service.uploads.jobs = JobTable(server.table.engine)
        first = await server.http.get("/recordings/export?person=anna")
        receipts = [await server.http.delete(f"/{path}?receipt=true") for path in command.stdout.splitlines()]
        second = await server.http.get("/recordings/export?person=anna")
        other = await server.http.get("/recordings/export?person=anna", headers=bearer("globex-key"))

    report = json.loads(ZipFile(io.BytesIO(first.content)).read("export.json"))
    assert (report["conversations"], report["jobs"]) == ([anna.conversation], [anna.job])
    assert [receipt.status_code for receipt in receipts] == [200, 200]
    assert receipts[1].json()["deleted"] == {"messages": 1}
    assert (second.status_code, other.status_code) == (404, 200)


async def test_upload_of_the_person_that_is_still_being_received_is_deleted_by_the_path_that_is_printed(
    tmp_path, monkeypatch
):
    """With its bytes; what comes of it afterwards finds no upload."""
    monkeypatch.chdir(tmp_path)
    async with conversation_server(URL, batch_transcriber=object()) as server:
        sent = {"Upload-Length": "10"}
        begun = await server.http.post("/recordings/uploads?person=anna", headers=sent)
        where = begun.headers["location"]
        await server.http.patch(where, headers={"Upload-Offset": "0"}, content=b"hello")
        stored = len(server.service.store.blobs)
        command = await run_export("--person", "anna", "--tenant", "acme")
        (path,) = command.stdout.splitlines()
        receipt = await server.http.delete(f"/{path}?receipt=true")
        late = await server.http.patch(where, headers={"Upload-Offset": "5"}, content=b"there")
        again = await run_export("--person", "anna", "--tenant", "acme")

    assert (stored, path) == (1, f"recordings/{begun.json()['id']}")
    assert (receipt.status_code, receipt.json()["deleted"]["uploads"]) == (200, 1)
    assert [key for key in server.service.store.blobs if not key.startswith("tombstones/")] == []
    assert (late.status_code, again.exit_code) == (404, 1)


@pytest.mark.parametrize(
    ("changes", "reads"),
    [
        ({}, True),
        ({"scopes": frozenset({Scope.RECORDINGS_READ})}, False),
        ({"key_id": ""}, False),
        ({"person": "anna"}, True),
        ({"person": "bert"}, False),
        ({"scopes": frozenset({Scope.ADMIN})}, True),
    ],
    ids=["key", "no scope chat", "no key", "own token", "another's token", "admin"],
)
async def test_conversations_in_an_export_are_for_whoever_may_read_them(tmp_path, changes, reads):
    principal = replace(Principal(Tenant("acme"), key_id="k"), **changes)
    async with conversation_server(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as server:
        rows = _rows_for(principal, server.service, "anna")

    assert (rows.conversations is not None) is reads


async def test_export_command_of_a_tenant_of_which_nothing_is_kept_says_so_and_leaves_no_file(kept):
    result = await run_export("--tenant", "nope")

    assert result.exit_code == 1
    assert "nothing is kept of the tenant nope" in result.output
    assert not await anyio.Path("out.zip").exists()
