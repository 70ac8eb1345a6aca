"""The audit log, the live sessions and the anonymised decisions in the database, on SQLite and on PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
from anyio import to_thread
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from app.assembly.audit import change_recorder, open_audit
from app.assembly.tenants import open_tenants
from app.cli.audit import audit
from app.cli.keys import keys
from app.config import Settings
from app.data.audit import AuditTable, audit_in
from app.data.database import open_database
from app.data.decisions import open_decisions
from app.data.live_sessions import GOOD_FOR, LiveSessionTable
from app.data.row_log import QUEUE_LENGTH
from app.data.tables import LiveProcessRow
from app.domain.audit import AuditAction, AuditFilter, AuditOutcome
from app.domain.principal import Principal
from app.domain.routing.decision import DecisionFilter
from app.domain.tenant import Tenant, fingerprint
from app.runtime.audit import AuditLog
from app.runtime.authentication import Peer
from tests.eventually import until
from tests.integration.test_decision_log import EXPENSE, RECORD
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
KEY = Principal(Tenant("acme"), key_id="k1", name="front desk")
OPS = Tenant("ops", (fingerprint("ops-key"),), operator=True)


async def test_audit_entries_are_stored_and_found_by_every_filter(url):
    """The newest first, a page at a time, with all their fields."""
    async with open_database(url) as database, audit_in(database) as table:
        log = AuditLog(table, now=lambda: NOON)
        for number in range(5):
            log.record(AuditAction.AUDIO_READ, KEY, Peer("192.0.2.7"), target=f"s{number}", format="wav")
        log.record(AuditAction.RECORDING_DELETED, target="s9", tenant="globex", outcome=AuditOutcome.FAILED)

        page = await log.find(AuditFilter(limit=2))
        rest = await log.find(AuditFilter(before=page[-1].id))
        found = {
            name: [entry.target for entry in await log.find(AuditFilter(**{name: value}))]
            for name, value in {
                "action": "recording_deleted",
                "tenant": "globex",
                "target": "s3",
                "key_id": "k1",
                "peer": "192.0.2.7",
                "outcome": "failed",
                "since": NOON + timedelta(seconds=1),
                "until": NOON,
            }.items()
        }

    assert [entry.target for entry in (*page, *rest)] == ["s9", "s4", "s3", "s2", "s1", "s0"]
    assert (rest[0].key_name, rest[0].details, rest[0].action) == ("front desk", {"format": "wav"}, "audio_read")
    own = ["s4", "s3", "s2", "s1", "s0"]
    assert found == {
        "action": ["s9"],
        "tenant": ["s9"],
        "target": ["s3"],
        "key_id": own,
        "peer": own,
        "outcome": ["s9"],
        "since": [],
        "until": [],
    }


async def test_old_audit_entries_are_pruned(url):
    async with open_database(url) as database, audit_in(database) as table:
        for days in (0, 364, 366):
            AuditLog(table, now=lambda days=days: NOON - timedelta(days=days)).record(
                AuditAction.SESSION_STARTED, target=str(days)
            )
        await table.rows.flush()

        await table.prune(NOON - timedelta(days=365))

        assert [entry.target for entry in await table.find(AuditFilter())] == ["364", "0"]


async def test_a_full_audit_queue_drops_the_newest_and_the_metric_counts_them(tmp_path):
    """A database that is away costs entries, not memory, and it is seen."""
    registry = CollectorRegistry()
    settings = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/parley.db")
    async with open_database(settings.database_url) as database, open_audit(settings, database, registry) as log:
        for _ in range(QUEUE_LENGTH + 3):
            log.record(AuditAction.SESSION_STARTED)

        assert registry.get_sample_value("parley_audit_dropped_total") == 3


async def test_changes_of_the_tenants_file_are_in_the_audit_log(tmp_path):
    """One that is in force, and one that is refused, with the reason."""
    path = tmp_path / "tenants.toml"
    path.write_text("[acme]\nmax_sessions = 1\n")
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database, audit_in(database) as table:
        recorder = change_recorder(AuditLog(table), AuditAction.TENANTS_CHANGED, path)
        async with open_tenants(path, recorder):
            path.write_text("[acme]\nmax_sessions = 22\n")
            await until(lambda: has_entries(table, 1))
            path.write_text("[acme]\nmax_sessions = 'none'\n")
            await until(lambda: has_entries(table, 2))

        refused, changed = await table.find(AuditFilter())

    assert (changed.action, changed.target, changed.outcome) == ("tenants_changed", str(path), "done")
    assert refused.outcome == "refused"
    assert "max_sessions" in refused.details["reason"]


async def has_entries(table: AuditTable, count: int) -> bool:
    return len(await table.find(AuditFilter())) >= count


async def test_administrators_read_the_audit_log_a_page_at_a_time(tmp_path):
    """By filters; an entry for each time it is read; nobody else may."""
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database, audit_in(database) as table:
        service = scripted_service(
            tenants=lambda: (OPS, Tenant("acme", (fingerprint("acme-key"),))), audit=AuditLog(table)
        )
        for number in range(3):
            service.audit.record(AuditAction.AUDIO_READ, KEY, target=f"s{number}")
        async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
            head = {"Authorization": "Bearer ops-key"}
            query = {"action": "audio_read", "tenant": "acme", "limit": 2}
            first = (await http.get("/admin/audit", params=query, headers=head)).json()
            second = (await http.get("/admin/audit", params={**query, "before": first["next"]}, headers=head)).json()
            unescaped = await http.get(f"/admin/audit?since={first['entries'][1]['at']}", headers=head)
            wrong = [
                await http.get(f"/admin/audit?{each}", headers=head)
                for each in ("before=a b", "before=new", "until=tomorrow")
            ]
            refused = await http.get("/admin/audit", headers={"Authorization": "Bearer acme-key"})
            own = (await http.get("/admin/audit", params={"action": "admin_access"}, headers=head)).json()

    assert [entry["target"] for entry in first["entries"]] == ["s2", "s1"]
    assert ([entry["target"] for entry in second["entries"]], second["next"]) == (["s0"], None)
    assert (unescaped.status_code, [each.status_code for each in wrong]) == (200, [400] * 3)
    assert refused.status_code == 403
    assert [(e["target"], e["outcome"]) for e in own["entries"]] == [
        ("/admin/audit", "refused"),
        *[("/admin/audit", "refused")] * 3,
        ("/admin/audit", "done"),
        ("/admin/audit", "done"),
        ("/admin/audit", "done"),
    ]


async def test_the_audit_command_prints_one_entry_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with open_database("sqlite+aiosqlite:///parley.db") as database, audit_in(database) as table:
        for action in (AuditAction.SESSION_STARTED, AuditAction.RECORDING_DELETED):
            AuditLog(table).record(action, KEY, target="s1")

    result = await to_thread.run_sync(CliRunner().invoke, audit, ["--action", "recording_deleted"])

    (line,) = result.output.splitlines()
    assert result.exit_code == 0
    assert msgspec.json.decode(line)["target"] == "s1"


# -- live sessions -------------------------------------------------------------------


async def test_live_sessions_of_all_processes_are_known_to_each(url):
    """A process announces its own; those it announces no more are over."""
    async with open_database(url) as database:
        one, other = LiveSessionTable(database), LiveSessionTable(database)
        await one.announce(["a", "b"])
        await other.announce(["c"])
        both = await one.everywhere()
        await one.announce([])

        assert both == {"a", "b", "c"}
        assert await other.everywhere() == {"c"}


async def test_live_sessions_of_a_process_that_died_are_over(url):
    """Half a minute after its last announcement."""
    async with open_database(url) as database:
        dead = LiveSessionTable(database)
        await dead.announce(["a"])
        seen = (datetime.now(UTC) - GOOD_FOR - timedelta(seconds=1)).isoformat(timespec="milliseconds")
        async with database.begin() as connection:
            await connection.execute(LiveProcessRow.__table__.update().values(seen=seen))

        assert await LiveSessionTable(database).everywhere() == frozenset()


# -- decisions of deleted sessions ---------------------------------------------------


async def test_decisions_of_a_deleted_session_are_anonymous_and_still_add_up(url):
    """No row and no record names the session, its times are cut to the hour, other sessions' rows stay as they are."""
    async with open_decisions(url) as decisions:
        mine = [replace(RECORD, id=str(number), session="mine") for number in range(6)]
        for record in (*mine, replace(RECORD, id="9", session="other"), replace(EXPENSE, session="mine", tenant="t")):
            decisions.record(record)
        await decisions.flush()
        before = await decisions.spent_on(RECORD.at[:10])

        erased = await decisions.erase_session("mine")

        found = await decisions.find(DecisionFilter())
        assert await decisions.spent_on(RECORD.at[:10]) == before
    assert erased == {"decisions": 6, "expenses": 1}
    assert [record.id for record in found if record.session] == ["9"]
    assert {record.at for record in found if not record.session} == {f"{RECORD.at[:13]}:00:00.000+00:00"}
    assert all(record.session != "mine" for record in found)


async def test_a_decision_that_is_still_queued_is_anonymised_too(url):
    async with open_decisions(url) as decisions:
        decisions.record(replace(RECORD, session="mine"))

        await decisions.erase_session("mine")

        assert await decisions.find(DecisionFilter(session="mine")) == []
        assert len(await decisions.find(DecisionFilter())) == 1


async def test_keys_made_and_revoked_by_the_command_are_in_the_audit_log(tmp_path, monkeypatch):
    """Directly in the database, without a server."""
    monkeypatch.chdir(tmp_path)
    for arguments in (["create", "front-desk", "--scope", "speak"], ["revoke", "front-desk"]):
        result = await to_thread.run_sync(CliRunner().invoke, keys, arguments)
        assert result.exit_code == 0, result.output

    async with open_database("sqlite+aiosqlite:///parley.db") as database, audit_in(database) as table:
        revoked, created = await table.find(AuditFilter())

    assert (created.action, revoked.action) == ("key_created", "key_revoked")
    assert created.target == revoked.target
