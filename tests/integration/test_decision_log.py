"""The decision log: rows are stored once, whatever the database does; old rows stay readable; old ones are deleted."""

import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import msgspec
import pytest
from sqlalchemy import event, text
from structlog.testing import capture_logs

from app.data.database import transaction
from app.data.decision_json import decode_decision, encode_decision
from app.data.decisions import DecisionLog, open_decisions
from app.data.pruning import prune_loop
from app.data.row_log import QUEUE_LENGTH
from app.data.spend import SpendTable
from app.domain.errors import ProviderBusy, SettingsError
from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.routing.cost import Spent
from app.domain.routing.decision import (
    Attempt,
    DecisionFilter,
    DecisionRecord,
    Expense,
    ExpenseKind,
    Outcome,
    RejectedRoute,
)
from app.domain.routing.fleet import initial_state
from app.domain.routing.request import RouteRequest
from app.runtime.routing.ledger import SpendLedger
from tests.eventually import until
from tests.postgres import cut_off, new_database
from tests.routes import LOCAL

pytestmark = pytest.mark.anyio

RECORD = DecisionRecord(
    id="1",
    at="2026-01-02T10:00:00.000+00:00",
    session="s",
    tenant="t",
    utterance=1,
    rules="fastest",
    request=RouteRequest(3.0, "en"),
    fleet=(initial_state(LOCAL).candidate(0, "en"),),
    ranked=("aws", "local"),
    rejected=(RejectedRoute("jetson", "its circuit breaker is open"),),
    panic=False,
    chosen="aws",
    place=Place.CLOUD,
    why="fastest",
    hedged=True,
    latency_ms=210.0,
    usd=0.006,
    attempts=(Attempt("aws", Outcome.DELIVERED, 210.0, 0.006), Attempt("local", Outcome.STOPPED, 90.0, 0.0)),
    agreement=0.8,
)

EXPENSE = Expense("e", RECORD.at, "aws", ExpenseKind.PROBE, 0.25)


async def ids(decisions: DecisionLog, **wanted) -> list[str]:
    return [record.id for record in await decisions.find(DecisionFilter(**wanted))]


# -- every row once ------------------------------------------------------------------


async def test_a_commit_whose_answer_was_lost_is_repeated_without_booking_twice(url):
    """Decisions and expenses alike: the rows are there already, and stay as they are."""
    async with open_decisions(url) as decisions:
        for _ in range(2):
            decisions.record(RECORD)
            decisions.record(EXPENSE)
            assert await decisions.flush()
        spent = await decisions.spent_on("2026-01-02")

        assert await ids(decisions) == ["1"]
    assert spent == {"t": 0.006, "": 0.25}
    assert decisions.dropped == 0


async def test_a_row_that_cannot_be_written_does_not_hold_up_the_others(url):
    """It is dropped, counted and logged; those around it are stored."""
    is_sqlite = url.startswith("sqlite")
    broken = replace(RECORD, id="2", session="\ud800" if is_sqlite else "\0")  # no Unicode; PostgreSQL takes no NUL
    async with open_decisions(url) as decisions:
        for record in (RECORD, broken, replace(RECORD, id="3")):
            decisions.record(record)
        with capture_logs() as logs:
            assert await decisions.flush()

        assert sorted(await ids(decisions)) == ["1", "3"]
    assert decisions.dropped == 1
    assert [(line["event"], line["id"]) for line in logs] == [("decision dropped, its row cannot be written", "2")]


async def test_a_full_queue_drops_the_newest_and_counts_them(tmp_path):
    """A session never waits for the database."""
    async with open_decisions(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as decisions:
        for number in range(QUEUE_LENGTH + 3):
            decisions.record(replace(EXPENSE, id=str(number)))

        assert decisions.dropped == 3


# -- a database that goes away ---------------------------------------------------------


@pytest.mark.parametrize("fault", ["deleted", "garbage"])
async def test_writing_resumes_after_the_database_file_is_deleted_or_damaged(tmp_path, fault):
    """Without a restart; a damaged file is kept aside."""
    path = tmp_path / "parley.db"
    async with open_decisions(f"sqlite+aiosqlite:///{path}") as decisions:
        decisions.record(RECORD)
        await decisions.flush()
        if fault == "deleted":
            path.unlink()
        else:
            path.write_bytes(b"this is no database" * 1000)

        decisions.record(replace(RECORD, id="2"))
        assert await decisions.flush()

        assert await ids(decisions) == ["2"]
    assert decisions.dropped == 0
    assert bool(list(tmp_path.glob("parley.db.damaged-*"))) is (fault == "garbage")


@pytest.mark.parametrize("fault", ["deleted", "garbage"])
async def test_a_list_is_answered_after_the_database_file_is_deleted_or_damaged(tmp_path, fault):
    """Nothing was recorded since: the list is empty, and the next decision is found."""
    path = tmp_path / "parley.db"
    async with open_decisions(f"sqlite+aiosqlite:///{path}") as decisions:
        decisions.record(RECORD)
        await decisions.flush()
        await decisions.engine.dispose()
        if fault == "deleted":
            path.unlink()
        else:
            path.write_bytes(b"this is no database" * 1000)

        assert await ids(decisions) == []
        decisions.record(replace(RECORD, id="2"))
        assert await ids(decisions) == ["2"]


async def test_a_locked_database_is_busy_soon_and_written_later(tmp_path):
    """A list is refused within seconds; what was recorded meanwhile is written when the lock is gone."""
    path = tmp_path / "parley.db"
    async with open_decisions(f"sqlite+aiosqlite:///{path}") as decisions, anyio.create_task_group() as tasks:
        tasks.start_soon(decisions.write_loop)
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        decisions.record(RECORD)
        began = time.monotonic()
        with pytest.raises(ProviderBusy, match="database"):
            await decisions.find(DecisionFilter())
        took_s = time.monotonic() - began
        lock.execute("ROLLBACK")
        lock.close()

        async def written() -> bool:
            return await ids(decisions) == ["1"]

        await until(written, seconds=20)
        tasks.cancel_scope.cancel()
    assert took_s < 4
    assert decisions.dropped == 0


async def test_a_database_that_stays_locked_is_logged_once(tmp_path):
    """And once more when it is written again."""
    path = tmp_path / "parley.db"
    async with open_decisions(f"sqlite+aiosqlite:///{path}") as decisions:
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        decisions.record(RECORD)
        with capture_logs() as logs:
            assert [await decisions.flush() for _ in range(2)] == [False, False]
            lock.execute("ROLLBACK")
            assert await decisions.flush()
        lock.close()

    assert [line["event"] for line in logs] == ["decisions cannot be written now", "decisions are written again"]


async def test_what_is_lost_at_exit_is_logged_and_counted(tmp_path):
    """The database is locked until the end."""
    path = tmp_path / "parley.db"
    with capture_logs() as logs:
        async with open_decisions(f"sqlite+aiosqlite:///{path}") as decisions:
            lock = sqlite3.connect(path, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            decisions.record(RECORD)
            decisions.record(EXPENSE)
        lock.close()

    lost = [line for line in logs if line["event"] == "decisions lost at exit, the database is unavailable"]
    assert [line["count"] for line in lost] == [2]
    assert decisions.dropped == 2


# -- stored formats and age ------------------------------------------------------------

STORED_IN_2026 = """{"id":"old","at":"2026-01-01T10:00:00.000+00:00","session":"s","tenant":"t","utterance":3,
"rules":"private-first","request":{"seconds":3.0,"language":"en","allowed":"on_prem_only","spent":{"session":0.0,
"tenant":0.0,"day":0.0},"deadline_ms":null,"speculative":false,"tenant_usd":null},"fleet":[{"name":"local",
"place":"on_prem","price":{"usd_per_minute":0.0,"minimum_s":0.0},"health":"half_open","badness":0.25,"p50_ms":500.0,
"p95_ms":900.0,"waiting":2,"at_once":null,"languages":[],"longest_s":null,"quality":0.5,"agreement":null,
"streamed":0.0,"live":false}],"ranked":["local"],"rejected":[{"name":"aws","why":"it rests after failures"}],
"panic":false,"chosen":"local","place":"on_prem","why":"fastest","hedged":false,"latency_ms":480.0,"usd":0.0,
"attempts":[{"name":"local","outcome":"delivered","ms":480.0,"usd":0.0,"error":""}],"agreement":0.9}"""


def test_a_decision_stored_by_an_older_release_is_read():
    """Its JSON has the names of then."""
    record = decode_decision(STORED_IN_2026)

    assert record.request.residency is Residency.ON_PREM_ONLY
    (candidate,) = record.fleet
    assert (candidate.breaker_state, candidate.failure_rate, candidate.in_flight) == (BreakerState.HALF_OPEN, 0.25, 2)
    assert (record.chosen, record.attempts[0].outcome) == ("local", Outcome.DELIVERED)


def test_decisions_keep_the_field_names_of_their_json():
    """What is written today is what was written then, name by name."""
    written = msgspec.json.decode(encode_decision(decode_decision(STORED_IN_2026)))

    assert written == msgspec.json.decode(STORED_IN_2026)


async def test_an_old_database_gets_the_new_column_and_keeps_its_rows(tmp_path):
    """Expenses had no `uid` and no counts: what was spent counts, and new rows are stored once."""
    path = tmp_path / "parley.db"
    old = sqlite3.connect(path)
    old.executescript(
        "CREATE TABLE decisions (id VARCHAR NOT NULL PRIMARY KEY, at VARCHAR NOT NULL, session VARCHAR NOT NULL,"
        " tenant VARCHAR NOT NULL, route VARCHAR NOT NULL, place VARCHAR NOT NULL, usd FLOAT NOT NULL,"
        " record TEXT NOT NULL);"
        "CREATE TABLE expenses (id INTEGER NOT NULL PRIMARY KEY, at VARCHAR NOT NULL, route VARCHAR NOT NULL,"
        " occasion VARCHAR NOT NULL, usd FLOAT NOT NULL, session VARCHAR NOT NULL, tenant VARCHAR NOT NULL);"
        "INSERT INTO expenses (at, route, occasion, usd, session, tenant)"
        " VALUES ('2026-01-02T09:00:00.000+00:00', 'aws', 'probe', 1.0, '', 'u')"
    )
    old.execute(
        "INSERT INTO decisions VALUES ('old', '2026-01-01T10:00:00.000+00:00', 's', 't', 'local', 'on_prem', 0, ?)",
        (STORED_IN_2026,),
    )
    old.commit()
    old.close()

    for _ in range(2):
        async with open_decisions(f"sqlite+aiosqlite:///{path}") as decisions:
            decisions.record(
                replace(EXPENSE, kind=ExpenseKind.REPLY, prompt_tokens=17, generated_tokens=4, characters=9)
            )
            assert await ids(decisions) == ["old"]
            await decisions.flush()

            assert await decisions.spent_on("2026-01-02") == {"u": 1.0, "": 0.25}
            async with transaction(decisions.engine) as connection:
                counts = await connection.execute(
                    text("SELECT prompt_tokens, generated_tokens, characters FROM expenses ORDER BY id")
                )
                assert [tuple(row) for row in counts] == [(0, 0, 0), (17, 4, 9)]


async def test_a_row_that_cannot_be_decoded_is_skipped(url):
    """The others are listed and summed up, and the log says why one is missing."""
    async with open_decisions(url) as decisions:
        decisions.record(RECORD)
        decisions.record(replace(RECORD, id="2"))
        await decisions.flush()
        async with transaction(decisions.engine) as connection:
            await connection.execute(text("UPDATE decisions SET record = '{\"id\": 3}' WHERE id = '1'"))

        with capture_logs() as logs:
            assert await ids(decisions) == ["2"]
            assert [line.name for line in await decisions.summary(DecisionFilter())] == ["aws", "local"]
    assert logs[0]["event"] == "stored decision skipped, it cannot be decoded"


async def test_old_decisions_and_expenses_are_deleted(url):
    """Those before the day; the budgets of the day itself are kept."""
    async with open_decisions(url) as decisions:
        decisions.record(RECORD)
        decisions.record(EXPENSE)
        decisions.record(replace(RECORD, id="2", at="2026-01-03T10:00:00.000+00:00"))
        decisions.record(replace(EXPENSE, id="f", at="2026-01-03T10:00:00.000+00:00"))
        await decisions.flush()

        await decisions.prune(datetime(2026, 1, 3, tzinfo=UTC))

        assert await ids(decisions) == ["2"]
        assert await decisions.spent_on("2026-01-02") == {}
        assert await decisions.spent_on("2026-01-03") == {"t": 0.006, "": 0.25}


async def test_decisions_are_deleted_after_so_many_days(tmp_path):
    """The first time at once, whatever has accumulated before."""
    ancient, recent = (
        (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds") for days in (31, 29)
    )
    async with open_decisions(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as decisions:
        decisions.record(replace(RECORD, at=ancient))
        decisions.record(replace(RECORD, id="new", at=recent))
        await decisions.flush()

        async def pruned() -> bool:
            return await ids(decisions) == ["new"]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(prune_loop, "decisions", decisions.prune, 30)
            await until(pruned, seconds=10)
            tasks.cancel_scope.cancel()


async def test_all_decisions_are_kept_where_days_are_0(tmp_path):
    """The loop ends at once."""
    async with open_decisions(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as decisions:
        decisions.record(replace(RECORD, at="2001-01-01T10:00:00.000+00:00"))

        with anyio.fail_after(10):
            await prune_loop("decisions", decisions.prune, 0)

        assert await ids(decisions) == ["1"]


# -- listing, sums and restarts ----------------------------------------------------------


async def test_decisions_are_found_by_every_filter_newest_first(url):
    """Whole, the newest first, by every filter."""
    later = replace(RECORD, id="2", at="2026-01-03T10:00:00.000+00:00", session="u", chosen=None, place=None, usd=0.0)
    async with open_decisions(url) as decisions:
        decisions.record(RECORD)
        decisions.record(later)

        async def ids(**wanted) -> list[str]:
            return [record.id for record in await decisions.find(DecisionFilter(**wanted))]

        assert await decisions.find(DecisionFilter(route="aws")) == [RECORD]
        assert await ids() == ["2", "1"]
        assert await ids(session="s") == ["1"]
        assert await ids(tenant="t", limit=1) == ["2"]
        assert await ids(place="cloud") == ["1"]
        assert await ids(since=datetime(2026, 1, 3, tzinfo=UTC)) == ["2"]
        assert await ids(until=datetime(2026, 1, 3, tzinfo=UTC)) == ["1"]
        lines = {line.name: line for line in await decisions.summary(DecisionFilter())}

    assert sorted(lines) == ["aws", "draft", "local"]
    assert (lines["aws"].share, lines["aws"].p95_ms, lines["aws"].usd) == (0.5, 210.0, 0.012)
    assert lines["local"].stopped == 2


async def test_spending_of_the_day_survives_a_restart(url):
    """What a tenant spent today is known to the next process, and what probes and silence cost."""
    probe = Expense("1", RECORD.at, "aws", ExpenseKind.PROBE, 0.25)
    async with open_decisions(url) as decisions:
        decisions.record(RECORD)
        decisions.record(replace(RECORD, id="2", tenant="u", usd=0.5))
        decisions.record(probe)
        decisions.record(replace(probe, id="2", kind=ExpenseKind.SILENCE, usd=0.5, session="s", tenant="u"))

    async with open_decisions(url) as decisions:
        ledger = SpendLedger(lambda: "2026-01-02")
        ledger.read_others("2026-01-02", await decisions.spent_on("2026-01-02"))
        assert await decisions.spent_on("2026-01-02") == {"t": 0.006, "u": 1.0, "": 0.25}
        assert await decisions.spent_on("2026-01-03") == {}
    assert ledger.spent("", "u") == Spent(0.0, 1.0, pytest.approx(1.256))


@pytest.mark.parametrize("attempt", range(10))
async def test_two_processes_can_start_with_the_same_empty_database(url, attempt):
    """Whoever is second, with any of the tables, finds it made; both are written to."""

    async def process(number: int) -> None:
        async with open_decisions(url) as decisions:
            decisions.record(replace(RECORD, id=str(number)))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as processes:
            for number in range(2):
                processes.start_soon(process, number)
        async with open_decisions(url) as decisions:
            found = await decisions.find(DecisionFilter())

    assert sorted(record.id for record in found) == ["0", "1"]


def test_cancelling_at_any_moment_of_opening_a_database_leaves_nothing_behind(tmp_path):
    """At every moment of it: nothing is left behind that keeps the process from ending."""

    async def give_up(after_s: float) -> None:
        with anyio.move_on_after(after_s):
            async with open_decisions(f"sqlite+aiosqlite:///{tmp_path}/{after_s}.db"):
                await anyio.sleep_forever()

    for step in range(60):
        anyio.run(give_up, step / 2000)


async def test_a_database_that_was_restarted_gets_the_queued_decisions(postgres):
    """Connections that were cut are replaced, and no record is lost."""
    url = new_database(postgres)
    async with open_decisions(url) as decisions:
        decisions.record(RECORD)
        await decisions.flush()
        cut_off(url)
        decisions.record(replace(RECORD, id="2"))
        found = await decisions.find(DecisionFilter())

    assert len(found) == 2


async def test_a_missing_postgres_database_is_a_settings_error(postgres):
    """By its setting, as a wrong password would be."""
    with pytest.raises(SettingsError, match="PARLEY_DATABASE_URL"):
        async with open_decisions(f"{postgres}/nowhere"):
            pass


@pytest.mark.parametrize("wrong", ["nonsense", "sqlite+aiosqlite:////no/such/folder/x.db", "postgresql+nodriver://x/y"])
async def test_a_database_that_cannot_be_opened_is_a_settings_error(wrong):
    """By its setting."""
    with pytest.raises(SettingsError, match="PARLEY_DATABASE_URL"):
        async with open_decisions(wrong):
            pass


async def test_old_rows_are_deleted_a_few_at_a_time(url, monkeypatch):
    """All of them, whatever the table's key; and none that is newer."""
    monkeypatch.setattr("app.data.pruning.BATCH", 2)
    old, new = "2026-01-01T10:00:00.000+00:00", "2026-02-01T10:00:00.000+00:00"
    async with open_decisions(url) as decisions:
        for number in range(5):
            decisions.record(replace(RECORD, id=f"old{number}", at=old))
            decisions.record(replace(EXPENSE, id=f"old{number}", at=old))
        decisions.record(replace(RECORD, id="new", at=new))
        await decisions.flush()
        spend = SpendTable(decisions.engine)
        await spend.publish({("2026-01-01", f"tenant{number}"): 1.0 for number in range(5)})
        statements: list[str] = []
        event.listen(decisions.engine.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

        await decisions.prune(datetime(2026, 1, 15, tzinfo=UTC))
        await spend.prune(datetime(2026, 1, 15, tzinfo=UTC))

        assert await ids(decisions) == ["new"]
        assert await decisions.spent_on("2026-01-01") == {}
        assert await SpendTable(decisions.engine).spent_by_others("2026-01-01") == {}
    assert len([statement for statement in statements if statement.startswith("DELETE")]) == 9
