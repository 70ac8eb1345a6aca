"""Export of recordings: one ZIP archive with everything that is kept, over HTTP and by the command."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from zipfile import ZipFile

import anyio
import httpx
import pytest
from anyio import to_thread
from click.testing import CliRunner

from app.cli.export import export
from app.data.audit import audit_in
from app.data.database import open_database
from app.data.decisions import open_decisions
from app.domain.audit import AuditAction, AuditFilter
from app.domain.tenant import Tenant, fingerprint
from app.media.decode import decode_exactly
from app.runtime.audit import AuditLog
from app.runtime.recording.export import RecordingExport
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.uploader import Uploader
from storage.filesystem import open_filesystem
from tests.eventually import until
from tests.fakes import MemoryBlobStore
from tests.integration.test_audit import MemoryAuditStore
from tests.integration.test_decision_log import RECORD
from tests.serving import scripted_service, served
from tests.unit.test_deletion import SECOND, is_uploaded, process, speak

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SESSION = "01a21605abe373c59de711fe5243d20b"
ACME = Tenant("acme", (fingerprint("acme-key"),))
GLOBEX = Tenant("globex", (fingerprint("globex-key"),))
OPS = Tenant("ops", (fingerprint("ops-key"),), operator=True)


async def recorded(uploader: Uploader, session: str = SESSION, tenant: Tenant = ACME) -> None:
    async with uploader.running():
        async with uploader.record_session(session, tenant) as recorder:
            await speak(recorder, 3)
        await until(lambda: is_uploaded(uploader))


async def archive_of(pieces) -> ZipFile:
    archive = ZipFile(io.BytesIO(b"".join([piece async for piece in pieces])))
    assert archive.testzip() is None
    return archive


async def test_export_of_a_session_has_audio_manifest_and_transcripts():
    """The audio sample by sample, the words as text and subtitles, and a report."""
    uploader = process(MemoryBlobStore())
    await recorded(uploader)
    manifest = await uploader.recordings.manifest(SESSION)

    archive = await archive_of(RecordingExport(uploader.recordings, NOON).session(manifest))

    names = ["manifest.json", "transcript.txt", "transcript.srt", "transcript.vtt", "audio.wav"]
    assert archive.namelist() == [*(f"{SESSION}/{name}" for name in names), "export.json"]
    assert decode_exactly(archive.read(f"{SESSION}/audio.wav"), 48_000) == 3 * SECOND
    assert b"what was said" in archive.read(f"{SESSION}/transcript.srt")
    assert json.loads(archive.read("export.json"))["sessions"] == [SESSION]


async def test_export_reports_audio_that_is_missing():
    """It is silence of its length, as in a download."""
    uploader = process(MemoryBlobStore())
    await recorded(uploader)
    manifest = await uploader.recordings.manifest(SESSION)
    del uploader.store.blobs[manifest.chunks[1].key]

    archive = await archive_of(RecordingExport(uploader.recordings, NOON).session(manifest))

    assert json.loads(archive.read("export.json"))["silence"] == {SESSION: [[16_000, 32_000]]}
    assert decode_exactly(archive.read(f"{SESSION}/audio.wav"), 48_000)[32_000:64_000] == bytes(32_000)


async def test_export_of_a_tenant_has_its_sessions_and_no_others():
    """A session whose manifest is damaged is named in the report."""
    uploader, audit = process(MemoryBlobStore()), MemoryAuditStore()
    damaged = SESSION[:-1] + "c"
    await recorded(uploader)
    await recorded(uploader, damaged)
    await recorded(uploader, SESSION[:-1] + "d", GLOBEX)
    (key,) = [key for key in uploader.store.blobs if key.endswith(f"{damaged}/manifest.json")]
    uploader.store.blobs[key] = b"damaged"
    AuditLog(audit).record(AuditAction.AUDIO_READ, tenant="acme", target=SESSION)

    export = RecordingExport(uploader.recordings, NOON, audit=audit.find)
    archive = await archive_of(export.tenant("acme"))

    report = json.loads(archive.read("export.json"))
    assert (report["sessions"], report["unreadable"]) == ([SESSION], [damaged])
    assert json.loads(archive.read("audit.jsonl"))["action"] == "audio_read"


async def test_export_over_http_is_for_the_owner_and_administrators():
    """A tenant gets no audit entries, because they name who else asked; another tenant gets a 404."""
    service = scripted_service(tenants=lambda: (ACME, GLOBEX, OPS), audit=AuditLog(MemoryAuditStore()))
    async with service.uploader.record_session(SESSION, ACME) as recorder:
        await speak(recorder, 1)
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http:
        await until(lambda: is_uploaded(service.uploader))
        got = {
            who: await http.get(f"/recordings/{SESSION}/export", headers={"Authorization": f"Bearer {who}-key"})
            for who in ("acme", "globex", "ops")
        }

    names = {who: ZipFile(io.BytesIO(got[who].content)).namelist() for who in ("acme", "ops")}
    assert [response.status_code for response in got.values()] == [200, 404, 200]
    assert f"{SESSION}/audit.jsonl" not in names["acme"]
    assert f"{SESSION}/audit.jsonl" in names["ops"]
    assert [entry.outcome for entry in service.audit.store.entries] == ["done", "refused", "done"]
    assert {entry.action for entry in service.audit.store.entries} == {"recording_exported"}


async def test_export_command_writes_one_file_with_decisions_and_audit_entries(tmp_path, monkeypatch):
    """From the configured store and database; the export itself is in the audit log."""
    monkeypatch.chdir(tmp_path)
    async with open_filesystem(folder=tmp_path / "recordings") as store:
        await recorded(process(store))
        assert (await RecordingStore(store).manifest(SESSION)).tenant == "acme"
    async with open_decisions("sqlite+aiosqlite:///parley.db") as decisions:
        decisions.record(replace(RECORD, session=SESSION))

    result = await to_thread.run_sync(CliRunner().invoke, export, ["--session", SESSION, "--output", "out.zip"])

    assert result.exit_code == 0, result.output
    archive = ZipFile(io.BytesIO(await anyio.Path("out.zip").read_bytes()))
    assert [each["session"] for each in json.loads(archive.read(f"{SESSION}/decisions.json"))] == [SESSION]
    async with open_database("sqlite+aiosqlite:///parley.db") as database, audit_in(database) as table:
        (entry,) = await table.find(AuditFilter())
    assert (entry.action, entry.target, entry.tenant) == ("recording_exported", SESSION, "acme")


async def test_export_command_that_fails_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = await to_thread.run_sync(CliRunner().invoke, export, ["--session", SESSION, "--output", "out.zip"])

    assert "there is no recording" in result.output
    assert [path.name async for path in anyio.Path().glob("*.zip")] == []
    assert [path.name async for path in anyio.Path().glob(".parley-*")] == []
