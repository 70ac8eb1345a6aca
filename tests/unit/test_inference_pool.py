"""The inference pool: order, cancellation, batches and failures, with work that is no speech."""

import gc
import threading
import time
import weakref

import anyio
import pytest

from app.domain.errors import ProviderBusy, ProviderDown
from providers.local.inference_pool import InferencePool, SupersededRequest, shared_pool
from providers.local.scheduler import Priority, QueueLimits

pytestmark = pytest.mark.anyio


class GatedWork:
    """Work that records its requests, and waits for permission at the one named `gate`."""

    def __init__(self):
        self.ran, self.batches = [], []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, names):
        self.batches.append(list(names))
        if "gate" in names:
            self.started.set()
            assert self.go.wait(5)
        if "broken" in names:
            raise ProviderBusy("test", "asked to fail")
        self.ran += names
        return [name.upper() for name in names]


@pytest.fixture
async def work():
    return GatedWork()


@pytest.fixture
def pool(request):
    opened = InferencePool(1, getattr(request, "param", QueueLimits()))
    yield opened
    opened.close()


async def block(pool, work, tasks):
    """Keep the only worker busy, so that everything after it waits."""
    tasks.start_soon(final, pool, work, "gate")
    await anyio.to_thread.run_sync(work.started.wait)


async def final(pool, work, name, *, session=None):
    return await pool.run(work, name, priority=Priority.FINAL, session=session or name, kind="k")


async def recording(pool, work, name, *, session=None):
    return await pool.run(work, name, priority=Priority.RECORDING, session=session or name, kind="k")


async def draft(pool, work, name, *, session=None):
    return await pool.run(work, name, priority=Priority.DRAFT, session=session or name, kind="k")


async def queued(pool, count):
    while pool.queued < count:
        await anyio.lowlevel.checkpoint()


async def test_final_overtakes_waiting_drafts(pool, work):
    """Whatever came first, the final runs first."""
    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        tasks.start_soon(draft, pool, work, "draft")
        await queued(pool, 1)
        tasks.start_soon(final, pool, work, "final")
        await queued(pool, 2)
        work.go.set()

    assert work.ran == ["gate", "final", "draft"]


async def test_cancelled_job_that_waits_is_skipped(pool, work):
    """Cancelled work that waits is skipped; the others are served."""
    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        with anyio.move_on_after(0.02):
            await final(pool, work, "gone")
        assert pool.queued == 0
        tasks.start_soon(final, pool, work, "stays")
        await queued(pool, 1)
        work.go.set()

    assert work.ran == ["gate", "stays"]


async def test_cancelled_job_that_runs_does_not_break_the_next(pool, work):
    """The pass runs to its end, its result is discarded; the next one follows."""
    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        tasks.cancel_scope.cancel()
    work.go.set()

    assert await final(pool, work, "next") == "NEXT"


async def test_replaced_draft_raises_superseded_request(pool, work):
    """It does not hang."""
    outcome = []

    async def replaced():
        with pytest.raises(SupersededRequest):
            await draft(pool, work, "old", session="a")
        outcome.append("replaced")

    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        tasks.start_soon(replaced)
        await queued(pool, 1)
        tasks.start_soon(lambda: draft(pool, work, "new", session="a"))
        while not outcome:
            await anyio.lowlevel.checkpoint()
        work.go.set()

    assert work.ran == ["gate", "new"]


@pytest.mark.parametrize("pool", [QueueLimits(finals=1)], indirect=True)
async def test_final_is_refused_as_busy_when_the_queue_is_full(pool, work):
    """A full machine says so; it does not keep people waiting."""
    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        tasks.start_soon(final, pool, work, "waits")
        await queued(pool, 1)
        with pytest.raises(ProviderBusy, match="queued already"):
            await final(pool, work, "refused")
        work.go.set()


@pytest.mark.parametrize("pool", [QueueLimits(max_batch=3)], indirect=True)
async def test_jobs_of_one_kind_run_as_one_batch(pool, work):
    """Each waiter gets its own answer out of the batch."""
    answers = {}

    async def ask(name):
        answers[name] = await final(pool, work, name)

    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        for name in ("a", "b", "c"):
            tasks.start_soon(ask, name)
        await queued(pool, 3)
        work.go.set()

    assert sorted(work.batches[1]) == ["a", "b", "c"]
    assert answers == {"a": "A", "b": "B", "c": "C"}


async def test_failure_reaches_its_caller_and_no_other(pool, work):
    """The worker outlives what it ran."""
    with pytest.raises(ProviderBusy):
        await final(pool, work, "broken")

    assert await final(pool, work, "fine") == "FINE"


async def test_shared_pool_is_closed_by_its_last_user():
    """There is one set of pool in a process."""
    async with shared_pool("test", 1) as one:
        async with shared_pool("test", 1) as other:
            assert one is other
        assert await one.run(lambda names: names, "still open", priority=Priority.FINAL, session=1, kind=1)
    async with shared_pool("test", 1) as fresh:
        assert fresh is not one


async def test_spare_capacity_while_one_more_job_would_start_at_once(work):
    """One busy thread of two leaves capacity; a single thread has none to spare beside end-of-turn checks."""
    two, one = InferencePool(2, QueueLimits()), InferencePool(1, QueueLimits())
    try:
        assert (two.has_spare_capacity, one.has_spare_capacity) == (True, False)
        async with anyio.create_task_group() as tasks:
            await block(two, work, tasks)
            assert two.has_spare_capacity
            second = GatedWork()
            tasks.start_soon(final, two, second, "gate")
            await anyio.to_thread.run_sync(second.started.wait)
            assert not two.has_spare_capacity
            work.go.set()
            second.go.set()
    finally:
        two.close()
        one.close()


async def test_live_final_overtakes_a_recording_that_waits(pool, work):
    """An upload of many stretches runs behind every final, each stretch as a session of its own."""
    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        for number, (queue, name) in enumerate(
            [(final, "live-b"), (recording, "upload-1"), (recording, "upload-2"), (final, "live-a")], 1
        ):
            tasks.start_soon(queue, pool, work, name)
            await queued(pool, number)
        work.go.set()

    assert work.ran == ["gate", "live-b", "live-a", "upload-1", "upload-2"]


async def test_finals_that_wait_are_those_of_live_sessions(pool, work):
    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        tasks.start_soon(recording, pool, work, "upload")
        await queued(pool, 1)
        assert not pool.has_waiting_finals
        tasks.start_soon(final, pool, work, "live")
        await queued(pool, 2)
        assert pool.has_waiting_finals
        work.go.set()

    assert not pool.has_waiting_finals


async def test_recordings_leave_one_of_several_workers_to_live_speech():
    """However many uploads there are, a live final starts at once."""
    pool, uploads, live = InferencePool(2, QueueLimits()), GatedWork(), GatedWork()
    live.go.set()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recording, pool, uploads, "gate")
            await anyio.to_thread.run_sync(uploads.started.wait)
            tasks.start_soon(recording, pool, uploads, "another upload")
            await queued(pool, 1)
            assert pool.has_spare_capacity
            assert await final(pool, live, "live") == "LIVE"
            assert (pool.queued, uploads.ran) == (1, [])
            uploads.go.set()
    finally:
        uploads.go.set()
        pool.close()

    assert uploads.ran == ["gate", "another upload"]


async def test_closing_the_pool_fails_waiting_jobs_as_provider_down(work):
    """Finals and recordings that never ran have an error of the service's own; later jobs are refused at once."""
    pool, outcomes = InferencePool(1, QueueLimits()), []

    async def expect_down(queue, name):
        with pytest.raises(ProviderDown, match="was closed"):
            await queue(pool, work, name)
        outcomes.append(name)

    async with anyio.create_task_group() as tasks:
        await block(pool, work, tasks)
        tasks.start_soon(expect_down, final, "final")
        tasks.start_soon(expect_down, draft, "draft")
        await queued(pool, 2)
        tasks.start_soon(anyio.to_thread.run_sync, pool.close)
        while len(outcomes) < 2:
            await anyio.lowlevel.checkpoint()
        work.go.set()

    await expect_down(final, "too late")
    assert sorted(outcomes) == ["draft", "final", "too late"]


class Audio:
    """What a request holds, in a class that a weak reference can point to."""


async def test_pool_keeps_no_finished_request_and_no_session_alive(pool):
    """While its threads wait for the next job, and while other jobs wait, the audio of the last one is freed."""
    request, session = Audio(), Audio()
    alive = [weakref.ref(request), weakref.ref(session)]

    await pool.run(lambda requests: [None], request, priority=Priority.FINAL, session=session, kind="k")
    del request, session
    await pool.run(lambda requests: requests, "another", priority=Priority.FINAL, session="b", kind="k")
    gc.collect()

    assert [one() for one in alive] == [None, None]


async def test_work_with_too_few_results_fails_its_callers_and_not_the_pool(pool, work):
    """The worker thread survives a fault in the work itself."""
    with pytest.raises(ValueError, match="zip"):
        await pool.run(lambda requests: [], "lost", priority=Priority.FINAL, session="a", kind="k")

    assert await final(pool, work, "fine") == "FINE"


async def test_time_of_passes_that_run_together_is_shared():
    """Two passes at once took half of the machine each; one alone had all of it."""
    two, gate = InferencePool(2, QueueLimits()), threading.Barrier(2)
    read = {}

    def work(names):
        began = two.time()
        gate.wait(5)
        time.sleep(0.05)
        ended = two.time()
        read[names[0]] = (ended.wall_s - began.wall_s, ended.shared_s - began.shared_s)
        gate.wait(5)
        return names

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(final, two, work, "a")
            tasks.start_soon(final, two, work, "b")
    finally:
        two.close()

    for wall_s, shared_s in read.values():
        assert wall_s / 2 <= shared_s + 1e-9 < wall_s
