"""The one queue of the machine, with work that is no speech."""

import threading

import anyio
import pytest

from app.domain.errors import ProviderBusy
from providers.local.inference_pool import InferencePool, SupersededRequest, shared_pool
from providers.local.scheduler import Priority, QueueLimits

pytestmark = pytest.mark.anyio


class Held:
    """Work that notes whom it serves, and waits for permission at the one named `gate`."""

    def __init__(self):
        self.ran, self.batches = [], []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, names):
        self.batches.append(list(names))
        if "gate" in names:
            self.begun.set()
            assert self.go.wait(5)
        if "broken" in names:
            raise ProviderBusy("test", "asked to fail")
        self.ran += names
        return [name.upper() for name in names]


@pytest.fixture
async def held():
    return Held()


@pytest.fixture
def cores(request):
    opened = InferencePool(1, getattr(request, "param", QueueLimits()))
    yield opened
    opened.close()


async def blocked(cores, held, tasks):
    """Keep the only worker busy, so that everything after it waits."""
    tasks.start_soon(final, cores, held, "gate")
    await anyio.to_thread.run_sync(held.begun.wait)


async def final(cores, held, name, *, session=None):
    return await cores.run(held, name, urgency=Priority.FINAL, session=session or name, kind="k")


async def draft(cores, held, name, *, session=None):
    return await cores.run(held, name, urgency=Priority.DRAFT, session=session or name, kind="k")


async def queued(cores, count):
    while cores.queued < count:
        await anyio.lowlevel.checkpoint()


async def test_finals_overtake_drafts_that_wait(cores, held):
    """Whatever came first, the final runs first."""
    async with anyio.create_task_group() as tasks:
        await blocked(cores, held, tasks)
        tasks.start_soon(draft, cores, held, "draft")
        await queued(cores, 1)
        tasks.start_soon(final, cores, held, "final")
        await queued(cores, 2)
        held.go.set()

    assert held.ran == ["gate", "final", "draft"]


async def test_who_walks_away_before_its_turn_costs_nothing_and_breaks_no_one(cores, held):
    """Cancelled work that waits is skipped; the others are served."""
    async with anyio.create_task_group() as tasks:
        await blocked(cores, held, tasks)
        with anyio.move_on_after(0.02):
            await final(cores, held, "gone")
        assert cores.queued == 0
        tasks.start_soon(final, cores, held, "stays")
        await queued(cores, 1)
        held.go.set()

    assert held.ran == ["gate", "stays"]


async def test_who_walks_away_while_it_works_breaks_no_one(cores, held):
    """The pass runs to its end, unheard; the next one follows."""
    async with anyio.create_task_group() as tasks:
        await blocked(cores, held, tasks)
        tasks.cancel_scope.cancel()
    held.go.set()

    assert await final(cores, held, "next") == "NEXT"


async def test_the_older_draft_hears_that_it_was_replaced(cores, held):
    """It does not hang."""
    outcome = []

    async def replaced():
        with pytest.raises(SupersededRequest):
            await draft(cores, held, "old", session="a")
        outcome.append("replaced")

    async with anyio.create_task_group() as tasks:
        await blocked(cores, held, tasks)
        tasks.start_soon(replaced)
        await queued(cores, 1)
        tasks.start_soon(lambda: draft(cores, held, "new", session="a"))
        while not outcome:
            await anyio.lowlevel.checkpoint()
        held.go.set()

    assert held.ran == ["gate", "new"]


@pytest.mark.parametrize("cores", [QueueLimits(finals=1)], indirect=True)
async def test_a_final_too_many_is_refused_in_words(cores, held):
    """A full machine says so; it does not keep people waiting."""
    async with anyio.create_task_group() as tasks:
        await blocked(cores, held, tasks)
        tasks.start_soon(final, cores, held, "waits")
        await queued(cores, 1)
        with pytest.raises(ProviderBusy, match="wait for this machine"):
            await final(cores, held, "refused")
        held.go.set()


@pytest.mark.parametrize("cores", [QueueLimits(batch=3)], indirect=True)
async def test_work_of_one_kind_runs_as_one_batch(cores, held):
    """Each waiter gets its own answer out of the batch."""
    answers = {}

    async def ask(name):
        answers[name] = await final(cores, held, name)

    async with anyio.create_task_group() as tasks:
        await blocked(cores, held, tasks)
        for name in ("a", "b", "c"):
            tasks.start_soon(ask, name)
        await queued(cores, 3)
        held.go.set()

    assert sorted(held.batches[1]) == ["a", "b", "c"]
    assert answers == {"a": "A", "b": "B", "c": "C"}


async def test_a_failure_reaches_the_one_who_waits_and_no_other(cores, held):
    """The worker outlives what it ran."""
    with pytest.raises(ProviderBusy):
        await final(cores, held, "broken")

    assert await final(cores, held, "fine") == "FINE"


async def test_two_engines_share_one_queue_and_the_last_one_closes_it():
    """There is one set of cores in a process."""
    async with shared_pool("test", 1) as one:
        async with shared_pool("test", 1) as other:
            assert one is other
        assert await one.run(lambda names: names, "still open", urgency=Priority.FINAL, session=1, kind=1)
    async with shared_pool("test", 1) as fresh:
        assert fresh is not one


async def test_it_is_idle_as_long_as_one_more_would_begin_at_once(held):
    """One thread of two at work is idle enough; a single thread never is, because a question comes first."""
    two, one = InferencePool(2, QueueLimits()), InferencePool(1, QueueLimits())
    try:
        assert (two.idle, one.idle) == (True, False)
        async with anyio.create_task_group() as tasks:
            await blocked(two, held, tasks)
            assert two.idle
            second = Held()
            tasks.start_soon(final, two, second, "gate")
            await anyio.to_thread.run_sync(second.begun.wait)
            assert not two.idle
            held.go.set()
            second.go.set()
    finally:
        two.close()
        one.close()
