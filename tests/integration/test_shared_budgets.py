"""Several processes share their budgets through one database: SQLite or PostgreSQL."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from app.assembly.routing import open_policy
from app.config import Settings
from app.data.database import open_database
from app.data.decisions import open_decisions
from app.data.spend import SpendTable
from app.domain.routing.decision import Expense, ExpenseKind
from app.domain.tenant import Tenant
from app.policy.routes_file import OpenAIRoute
from app.runtime.clock import SystemClock
from app.runtime.routing.ledger import SpendLedger
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.routing.spend_sync import SpendSync
from tests.eventually import until

pytestmark = pytest.mark.anyio

DAY, NEXT_DAY = "2026-01-02", "2026-01-03"
TABLES = {"worker": OpenAIRoute(base_url="http://127.0.0.1:9/v1", place="on_prem")}


@asynccontextmanager
async def gateway(url: str, rules) -> AsyncIterator[Routes]:
    """The routing of one process, as `parley serve` opens it."""
    async with (
        open_database(url) as database,
        open_policy(Settings(policy=str(rules)), database, TABLES, CollectorRegistry()) as (routes, _),
    ):
        yield routes


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text("[budgets]\nday = 1.0\n")
    return path


async def test_two_gateways_share_one_budget(url, rules):
    """What one spends is spent for the other within two seconds; then neither may spend more."""
    async with gateway(url, rules) as a, gateway(url, rules) as b:
        at_first = SessionBudget(b, "s", Tenant("t")).exhausted()
        a.ledger.add("", "t", 0.75)
        b.ledger.add("", "u", 0.25)

        async def both_know() -> bool:
            return a.ledger.spent("", "").day == b.ledger.spent("", "").day == 1.0

        await until(both_know, seconds=30)
        then = [SessionBudget(each, "s", Tenant("t")).exhausted() for each in (a, b)]

    assert at_first is None
    assert then == ["day", "day"]


async def test_a_gateway_that_starts_again_knows_what_was_spent(url, rules):
    """Its last sums are written when it ends."""
    async with gateway(url, rules) as a:
        a.ledger.add("", "t", 0.5)

    async with gateway(url, rules) as again:
        assert again.ledger.spent("", "t").tenant == 0.5


async def test_spending_recorded_before_the_table_was_there_counts(url, rules):
    """An update in the middle of a day does not fill the budgets up again; a second start counts nothing twice."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    async with open_decisions(url) as decisions:
        decisions.record(Expense("1", at, "aws", ExpenseKind.SILENCE, 0.5, "s", "t"))

    async with gateway(url, rules) as first, gateway(url, rules) as second:
        known = [each.ledger.spent("", "t").tenant for each in (first, second)]

    assert known == [0.5, 0.5]


async def test_sums_are_replaced_and_kept_by_day(url):
    """A row is what one process spent for one tenant on one day."""
    async with open_decisions(url) as decisions:
        a, b = SpendTable(decisions.engine), SpendTable(decisions.engine)
        await a.publish({(DAY, "t"): 1.0, (NEXT_DAY, "t"): 8.0})
        await a.publish({(DAY, "t"): 2.0, (DAY, ""): 0.5})
        await b.publish({(DAY, "t"): 4.0})

        assert await a.spent_by_others(DAY) == {"t": 4.0}
        assert await b.spent_by_others(DAY) == {"t": 2.0, "": 0.5}
        assert await b.spent_by_others(NEXT_DAY) == {"t": 8.0}


async def test_spending_of_old_days_is_deleted(url):
    """Of the day of the limit itself it stays."""
    async with open_decisions(url) as decisions:
        await SpendTable(decisions.engine).publish({(DAY, "t"): 1.0, (NEXT_DAY, "t"): 2.0})

        await SpendTable(decisions.engine).prune(datetime(2026, 1, 3, 12, tzinfo=UTC))

        reader = SpendTable(decisions.engine)
        assert await reader.spent_by_others(DAY) == {}
        assert await reader.spent_by_others(NEXT_DAY) == {"t": 2.0}


async def test_a_database_that_another_process_locks_costs_nothing_but_time(tmp_path):
    """Spending is counted on, and published once the lock is gone."""
    path = tmp_path / "parley.db"
    async with open_decisions(f"sqlite+aiosqlite:///{path}") as decisions:
        sync = SpendSync(SpendLedger(lambda: DAY), SpendTable(decisions.engine), SystemClock())
        sync.ledger.add("", "t", 1.0)
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await sync.sync()
            counted = sync.ledger.spent("", "t").tenant, sync.age_s
        await sync.sync()

        assert counted == (1.0, None)
        assert await SpendTable(decisions.engine).spent_by_others(DAY) == {"t": 1.0}


async def test_a_database_file_that_was_deleted_is_begun_anew(tmp_path):
    """Every sum is written again, those that have not changed since too."""
    path = tmp_path / "parley.db"
    async with open_decisions(f"sqlite+aiosqlite:///{path}") as decisions:
        sync = SpendSync(SpendLedger(lambda: DAY), SpendTable(decisions.engine), SystemClock())
        sync.ledger.add("", "t", 1.0)
        sync.ledger.add("", "u", 4.0)
        await sync.sync()
        await decisions.engine.dispose()
        path.unlink()

        sync.ledger.add("", "t", 2.0)
        for _ in range(2):
            await sync.sync()

        assert await SpendTable(decisions.engine).spent_by_others(DAY) == {"t": 3.0, "u": 4.0}
