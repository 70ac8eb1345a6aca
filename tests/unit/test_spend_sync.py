"""Ledgers that share their spending through a store, which is sometimes away."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from app.domain.errors import ProviderBusy
from app.domain.routing.cost import Spent
from app.runtime.routing.ledger import SpendLedger
from app.runtime.routing.spend_sync import REPORTED_AFTER, SpendSync
from tests.fakes import EagerClock

pytestmark = pytest.mark.anyio

DAY = "2026-01-02"


@dataclass
class SharedStore:
    """The rows of all processes; away while it has an error."""

    rows: dict[tuple[str, str, str], float] = field(default_factory=dict)
    error: ProviderBusy | None = None
    loses_answers: bool = False
    """What is published is stored, and an error is answered."""

    def of(self, process: str) -> "ProcessRows":
        return ProcessRows(self, process)

    def check(self) -> None:
        if self.error:
            raise self.error


@dataclass
class ProcessRows:
    """A SpendStore: the shared store as one process has it."""

    store: SharedStore
    process: str

    async def publish(self, spent: Mapping[tuple[str, str], float]) -> None:
        self.store.check()
        self.store.rows |= {(day, tenant, self.process): usd for (day, tenant), usd in spent.items()}
        if self.store.loses_answers:
            raise ProviderBusy("spend", "no answer")

    async def spent_by_others(self, day: str) -> Mapping[str, float]:
        self.store.check()
        total: dict[str, float] = {}
        for (of_day, tenant, process), usd in self.store.rows.items():
            if of_day == day and process != self.process:
                total[tenant] = total.get(tenant, 0.0) + usd
        return total


def process(store: SharedStore, name: str, day: str = DAY) -> SpendSync:
    return SpendSync(SpendLedger(lambda: day), store.of(name), EagerClock())


async def test_two_processes_know_each_others_spending():
    """After one synchronisation of each; a reservation counts, and what was released does not."""
    store = SharedStore()
    a, b = process(store, "a"), process(store, "b")

    reservation = a.ledger.reserve("s", "t", 2.0)
    b.ledger.add("", "u", 1.0)
    for each in (a, b, a):
        await each.sync()
    reserved = (a.ledger.spent("", "t"), b.ledger.spent("", "t"))
    reservation.settle(0.5)
    for each in (a, b):
        await each.sync()

    assert reserved == (Spent(0, 2, 3), Spent(0, 2, 3))
    assert b.ledger.spent("", "t") == Spent(0, 0.5, 1.5)


async def test_spending_while_the_store_is_away_is_counted_and_merged_later():
    """Both count on by themselves, with what they knew; once it is back they know everything."""
    store = SharedStore()
    a, b = process(store, "a"), process(store, "b")
    a.ledger.add("", "t", 1.0)
    for each in (a, b):
        await each.sync()

    store.error = ProviderBusy("spend", "away")
    a.ledger.add("", "t", 2.0)
    b.ledger.add("", "t", 4.0)
    for each in (a, b):
        await each.sync()
    away = (a.ledger.spent("", "t").tenant, b.ledger.spent("", "t").tenant)
    store.error = None
    store.rows.clear()  # it comes back empty
    for each in (a, b, a):
        await each.sync()

    assert away == (3.0, 5.0)
    assert (a.ledger.spent("", "t").tenant, b.ledger.spent("", "t").tenant) == (7.0, 7.0)


async def test_a_publication_whose_answer_was_lost_counts_once():
    """It is repeated, and replaces itself."""
    store = SharedStore(loses_answers=True)
    a, b = process(store, "a"), process(store, "b")
    a.ledger.add("", "t", 1.0)

    await a.sync()
    store.loses_answers = False
    await a.sync()
    await b.sync()

    assert b.ledger.spent("", "t").tenant == 1.0


async def test_the_next_process_knows_what_the_last_one_spent():
    """A restart does not fill the budgets up again."""
    store = SharedStore()
    first = process(store, "a")
    first.ledger.add("s", "t", 1.5)
    await first.close()

    second = process(store, "b")
    await second.sync()

    assert second.ledger.spent("", "t").tenant == 1.5


async def test_each_day_has_sums_of_its_own():
    """What was reserved yesterday and is settled today is published for yesterday."""
    store, days = SharedStore(), [DAY]
    a = SpendSync(SpendLedger(lambda: days[-1]), store.of("a"), EagerClock())
    reservation = a.ledger.reserve("s", "t", 2.0)
    await a.sync()

    days.append("2026-01-03")
    reservation.settle(0.5)
    a.ledger.add("", "t", 4.0)
    await a.sync()

    assert store.rows == {(DAY, "t", "a"): 0.5, ("2026-01-03", "t", "a"): 4.0}
    assert a.ledger.unpublished == set()


async def test_nothing_is_written_where_nothing_was_spent():
    """An idle process reads alone."""
    store = SharedStore()
    a = process(store, "a")

    await a.sync()

    assert store.rows == {}
    assert a.age_s == 0


async def test_a_store_that_stays_away_is_logged_once_and_once_when_it_is_back():
    """A lock that is held for a moment is not logged at all."""
    store = SharedStore(error=ProviderBusy("spend", "away"))
    a = process(store, "a")

    with capture_logs() as logs:
        for _ in range(REPORTED_AFTER - 1):
            await a.sync()
        early = list(logs)
        for _ in range(5):
            await a.sync()
        store.error = None
        await a.sync()

    assert early == []
    assert [line["event"] for line in logs] == [
        "budgets are not shared with other processes now",
        "budgets are shared again",
    ]
