"""Consent: what a client is told about recording, and that `archive: false` keeps nothing of a session anywhere."""

from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from app.config import Settings
from app.data.audit import audit_in
from app.data.database import open_database
from app.data.decisions import decisions_in
from app.data.spend import SpendTable
from app.data.tables import Table
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.residency import Residency
from app.domain.routing.decision import ExpenseKind
from app.domain.routing.rules import RoutingRules
from app.domain.tenant import Tenant, fingerprint
from app.runtime.audit import AuditLog
from app.runtime.clock import SystemClock
from app.runtime.dialog.engines import Engines
from app.runtime.recording.uploader import Uploader
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals
from app.runtime.routing.spend_sync import SpendSync
from storage.filesystem import open_filesystem
from storage.session_log import open_session_log
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, MemoryBlobStore, MemorySessionLog, ScriptedDetector, ScriptedTranscriber
from tests.routes import AWS
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
WORDS = "the words that were spoken"


@asynccontextmanager
async def keeping_everything_in(folder: Path, database_url: str = ""):
    """A server whose log, store, uploads and database are below this folder; its end waits for them."""
    database_url = database_url or f"sqlite+aiosqlite:///{folder}/parley.db"
    async with (
        open_database(database_url) as database,
        decisions_in(database) as decisions,
        audit_in(database) as audit,
        open_filesystem(folder=folder / "store") as store,
        open_session_log(folder=folder / "log") as log,
    ):
        uploader = Uploader(log, store, write_interval_s=0.01)
        routes = Routes((AWS,), {"aws": ScriptedTranscriber(WORDS)}, RoutingRules, SystemClock(), lambda: 0.0)
        routes.record_decision = routes.record_expense = decisions.record
        decisions.is_recorded = uploader.is_recorded
        spend = SpendSync(routes.ledger, SpendTable(database), SystemClock())

        @asynccontextmanager
        async def session_engines(session: str, tenant: Tenant):
            finals = SessionFinals(routes, session, tenant)
            yield Engines(ScriptedDetector(), finals, ScriptedTranscriber("the words"))
            routes.charge("polly", ExpenseKind.SPEECH, 0.01, session, tenant.name)
            finals.close()

        service = scripted_service(
            session_engines=session_engines,
            uploader=uploader,
            initial_state=DialogState(TurnRules(reply=False)),
            audit=AuditLog(audit),
        )

        async def has_ended() -> bool:
            return not uploader.live_sessions

        async def rows() -> Counter[tuple[str, ...]]:
            """Every row of every table, as the table's name and the values, once everything is written."""
            await until(has_ended)
            await uploader.wait_until_idle()
            assert await decisions.rows.flush()
            assert await audit.rows.flush()
            await spend.sync()
            async with database.connect() as connection:
                found = Counter[tuple[str, ...]]()
                for table in Table.metadata.sorted_tables:
                    found.update((table.name, *map(str, row)) for row in await connection.execute(select(table)))
            return found

        async with served(service) as address:
            yield SimpleNamespace(url=f"ws://{address}/ws/transcribe", rows=rows)
        await decisions.flush()


async def spoken_session(url: str, *, archive: bool) -> str:
    """The id of a session in which something was said."""
    async with open_session(url) as talk:
        await talk.send_message(type="configure", archive=archive)
        await talk.send_audio(SPEECH * 30 + SILENCE * 40, pace=0)
        assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=10)
        return talk.messages("session")[0].message["id"]


def holds(folder: Path, *needles: str) -> list[str]:
    """Each file below the folder that has one of these in its name or its bytes."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files, "nothing is stored at all"
    return [
        str(file.relative_to(folder))
        for file in files
        for needle in needles
        if needle in str(file) or needle.encode() in file.read_bytes()
    ]


async def test_archive_false_leaves_no_trace_in_store_log_uploads_and_database(tmp_path):
    """A session that is recorded is found by the same search, so that the search is known to work."""
    async with keeping_everything_in(tmp_path) as server:
        recorded = await spoken_session(server.url, archive=True)
        unrecorded = await spoken_session(server.url, archive=False)

    assert {name.split("/")[0].split("-")[0] for name in holds(tmp_path, recorded)} >= {"store", "parley.db"}
    assert {name.split("/")[0].split("-")[0] for name in holds(tmp_path, unrecorded)} == {
        "parley.db"
    }  # its audit entry
    assert all(recorded in name for name in holds(tmp_path, WORDS))


async def test_archive_false_adds_no_row_but_audit_entries_and_the_sum_of_a_day(url, tmp_path):
    """No decision or expense that could be compared with the audit log's times; the money is in the day's sum."""
    async with keeping_everything_in(tmp_path, url) as server:
        at_first = await server.rows()
        await spoken_session(server.url, archive=True)
        of_recorded = await server.rows() - at_first
        before = await server.rows()
        await spoken_session(server.url, archive=False)
        after = await server.rows()

    assert {name for name, *_ in of_recorded} == {"audit", "decisions", "expenses", "spend"}
    assert sorted(name for name, *_ in after - before) == ["audit", "audit", "spend"]
    assert [name for name, *_ in before - after] == ["spend"]
    (old,), (new,) = ([float(row[-1]) for row in rows if row[0] == "spend"] for rows in (before, after))
    assert new == pytest.approx(2 * old)


async def test_consent_cannot_be_withdrawn_after_what_was_said_without_audio(tmp_path):
    """A text or a `say` before the first audio is kept already; the client gets an error, not a promise."""
    async with keeping_everything_in(tmp_path) as server, open_session(server.url) as talk:
        await talk.send_message(type="say", text="hello")
        await talk.send_message(type="configure", archive=False)

        assert await talk.wait_until(lambda t: t.messages("error"), timeout_s=10)
        assert talk.messages("error")[-1].message["code"] == "bad_message"


@pytest.mark.parametrize(
    ("tenant", "told"),
    [
        (Tenant("default"), {"archive": True, "keepDays": 30}),
        (Tenant("short", keep_days=7), {"archive": True, "keepDays": 7}),
        (Tenant("kept", keep_days=0), {"archive": True}),
        (Tenant("silent", archive=False, place=Residency.ON_PREM_ONLY), {"archive": False, "keepDays": 30}),
    ],
)
async def test_a_client_is_told_whether_it_is_recorded_and_for_how_long(tenant, told):
    """Each tenant has its own answer; what is kept until somebody deletes it has no number of days."""
    tenant = Tenant(tenant.name, (fingerprint("parley_key"),), archive=tenant.archive, keep_days=tenant.keep_days)
    own = {} if tenant.keep_days is None else {tenant.name: tenant.keep_days}
    uploader = Uploader(MemorySessionLog(), MemoryBlobStore(), keep_days=30, tenant_keep_days=lambda: own)
    async with (
        served(scripted_service(uploader=uploader, tenants=lambda: (tenant,))) as address,
        open_session(f"ws://{address}/ws/raw", key="parley_key") as talk,
    ):
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
        greeting = talk.messages("session")[0].message

    assert {name: value for name, value in greeting.items() if name in ("archive", "keepDays")} == told


def test_recordings_are_deleted_after_a_month_unless_somebody_decides_otherwise():
    assert Settings().archive_keep_days == 30
