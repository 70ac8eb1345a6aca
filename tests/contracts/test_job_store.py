"""Contract of the stores of jobs: SQLite, PostgreSQL, and the fake that tests of the service use."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.data.database import open_database
from app.data.jobs import JobTable
from app.domain.errors import BlobNotFound, ClientError, ProviderBusy
from app.domain.job import MAX_CRASHES, FilePart, JobSource, JobState, TranscriptionJob, crash_pause_s
from app.domain.upload_limits import UploadLimits, UploadUsage
from app.runtime.ids import new_id
from tests.fakes import MemoryJobs
from tests.postgres import new_database

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
UNTIL = NOW + timedelta(seconds=30)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def jobs(request, tmp_path):
    if request.param == "memory":
        yield MemoryJobs()
        return
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    else:
        url = new_database(request.getfixturevalue("postgres"))
    async with open_database(url) as engine:
        yield JobTable(engine)


def job(number: int = 1, **changes) -> TranscriptionJob:
    moments = {"created": NOW, "updated": NOW, "due": NOW}
    return TranscriptionJob(**{"id": f"{number:032x}", "tenant": "acme", **moments, **changes})


async def add(jobs, *added: TranscriptionJob) -> None:
    for each in added:
        await jobs.add(each, lambda _: None)


async def test_job_comes_back_as_it_was_added(jobs):
    full = job(
        state=JobState.FAILED,
        source=JobSource.LINK,
        language="de",
        person="ann",
        length=1 << 33,
        received=1 << 33,
        attended=True,
        attempts=2,
        crashes=4,
        owner="process",
        lease_until=UNTIL,
        fence=3,
        seconds_done=1.5,
        seconds_total=2.5,
        code="bad_audio",
        message="it is no audio",
        warnings=("one", "two"),
        finished=NOW,
        has_remains=True,
        key_terms=("Siobhan", "Zoë"),
    )
    await add(jobs, full, job(2))

    assert await jobs.get(full.id) == full
    assert await jobs.get(job(2).id) == job(2)
    assert await jobs.get(job(3).id) is None


async def test_change_that_is_refused_changes_nothing(jobs):
    await add(jobs, job(length=10))
    with pytest.raises(ClientError):
        await jobs.change(job().id, lambda each: each.receive(5, 1, NOW), FilePart(5, 1, "a"))

    assert (await jobs.get(job().id), await jobs.parts(job().id)) == (job(length=10), [])


async def test_change_of_an_unknown_job_is_not_found(jobs):
    with pytest.raises(BlobNotFound):
        await jobs.change(job().id, lambda each: each)


async def test_parts_of_a_file_come_back_in_order(jobs):
    await add(jobs, job(length=10))
    for start in (0, 5):
        part = FilePart(start, 5, f"key {start}")
        await jobs.change(job().id, lambda each, start=start: each.receive(start, 5, NOW), part)

    assert await jobs.parts(job().id) == [FilePart(0, 5, "key 0"), FilePart(5, 5, "key 5")]
    assert await jobs.count_parts(job().id) == 2
    assert (await jobs.get(job().id)).state is JobState.QUEUED


async def test_one_of_many_parts_for_the_same_bytes_counts(jobs):
    """Twenty requests bring byte 0: one is taken, the others are told which byte is next."""
    await add(jobs, job(length=10))
    taken, refused = [], []

    async def bring(number: int) -> None:
        try:
            await jobs.change(job().id, lambda each: each.receive(0, 5, NOW), FilePart(0, 5, f"{number}"))
            taken.append(f"{number}")
        except ClientError as error:
            refused.append(str(error))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(bring, number)

    assert [part.key for part in await jobs.parts(job().id)] == taken
    assert refused == ["the next byte is number 5"] * 19


async def test_each_job_is_taken_once_by_many_workers(jobs):
    """The oldest first; each of thirty attempts to take one gets another, or none."""
    await add(jobs, *(job(number, state=JobState.QUEUED) for number in range(1, 11)))
    taken: list[str] = []

    async def take(worker: int) -> None:
        if found := await jobs.take(f"worker {worker}", ["acme"], UNTIL, NOW):
            taken.append(found.id)

    first = await jobs.take("first", ["acme"], UNTIL, NOW)
    async with anyio.create_task_group() as tasks:
        for worker in range(30):
            tasks.start_soon(take, worker)

    assert first.id == job(1).id
    assert sorted(taken) == [job(number).id for number in range(2, 11)]


async def test_taken_job_is_what_the_domain_makes_of_it(jobs):
    queued = job(state=JobState.QUEUED, attempts=1, fence=4, seconds_done=3.0)
    await add(jobs, queued)
    taken = await jobs.take("me", ["acme"], UNTIL, NOW + timedelta(seconds=1))

    assert taken == queued.take("me", UNTIL, NOW + timedelta(seconds=1)) == await jobs.get(queued.id)


async def test_job_taken_from_a_dead_process_is_what_the_domain_makes_of_it(jobs):
    abandoned = job(state=JobState.RUNNING, attempts=2, crashes=1, fence=4, lease_until=NOW)
    await add(jobs, abandoned)
    later = NOW + timedelta(seconds=5)

    assert await jobs.take("me", ["acme"], UNTIL, later - timedelta(seconds=1)) is None
    taken = await jobs.take("me", ["acme"], UNTIL, later)
    assert taken == abandoned.take("me", UNTIL, later) == await jobs.get(abandoned.id)
    assert (taken.attempts, taken.crashes) == (2, 2)


async def test_job_in_the_middle_of_which_a_process_died_is_left_where_an_untried_one_is_asked_for(jobs):
    abandoned = job(1, state=JobState.RUNNING, fence=1, lease_until=NOW - timedelta(days=1))
    interrupted, untried = job(2, state=JobState.QUEUED, crashes=1), job(3, state=JobState.QUEUED, attempts=2)
    await add(jobs, abandoned, interrupted, untried)

    taken = [await jobs.take("me", ["acme"], UNTIL, NOW, is_untried=True) for _ in range(2)]
    rest = [await jobs.take("me", ["acme"], UNTIL, NOW) for _ in range(2)]

    assert [each and each.id for each in taken] == [untried.id, None]
    assert [each.id for each in rest] == [abandoned.id, interrupted.id]
    assert [each.is_untried for each in (abandoned, interrupted, untried)] == [False, False, True]


async def test_job_of_a_tenant_without_a_place_is_left(jobs):
    await add(jobs, job(1, state=JobState.QUEUED), job(2, state=JobState.QUEUED, tenant="globex"))

    assert sorted(await jobs.takeable_tenants(NOW)) == ["acme", "globex"]
    assert (await jobs.take("me", ["globex"], UNTIL, NOW)).tenant == "globex"
    assert await jobs.take("me", ["globex"], UNTIL, NOW) is None
    assert await jobs.take("me", [], UNTIL, NOW) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    state=st.sampled_from(JobState),
    due=st.integers(-2, 2),
    lease=st.none() | st.integers(-2, 2),
    attended=st.booleans(),
    age_days=st.integers(-8, 0),
    has_remains=st.booleans(),
    crashes=st.integers(0, MAX_CRASHES + 2),
    crash_pauses=st.integers(0, 1),
)
async def test_store_takes_and_sweeps_what_the_domain_says(
    jobs, state, due, lease, attended, age_days, has_remains, crashes, crash_pauses
):
    """Whether its lease has run out now, or so long ago that a job which crashed so often may be taken again."""
    at, long_ago = NOW, NOW + timedelta(days=age_days, seconds=-1)
    each = job(
        state=state,
        attended=attended,
        due=at + timedelta(seconds=due),
        updated=long_ago,
        lease_until=None if lease is None else at + timedelta(seconds=lease - crash_pauses * crash_pause_s(crashes)),
        crashes=crashes,
        has_remains=has_remains,
    )
    each = replace(each, id=new_id(), finished=long_ago if each.is_finished else None)
    if each.is_finished:
        each = replace(each, lease_until=None)
    await add(jobs, each)
    is_overdue = each.is_interrupted(at) or each.is_expired(at) or each.has_remains

    overdue = [found.id for found in await jobs.overdue(at)]
    tenants = await jobs.takeable_tenants(at)
    taken = await jobs.take("me", ["acme"], UNTIL, at)
    await jobs.remove(each.id)

    assert overdue == [each.id] * is_overdue
    assert (tenants, taken is not None) == (["acme"] * each.is_takeable(at), each.is_takeable(at))


async def test_jobs_are_listed_newest_first_page_by_page(jobs):
    await add(jobs, job(1), job(2, tenant="globex"), job(3, state=JobState.DONE), job(4, person="anna"))

    async def ids(**query) -> list[int]:
        asked = {"tenant": None, "person": None, "state": None, "before": None, "limit": 10, **query}
        return [int(found.id, 16) for found in await jobs.find(**asked)]

    assert await ids() == [4, 3, 2, 1]
    assert await ids(tenant="acme", limit=2) == [4, 3]
    assert await ids(tenant="acme", before=job(3).id) == [1]
    assert await ids(state=JobState.DONE) == [3]
    assert (await ids(person="anna"), await ids(tenant="globex", person="anna")) == ([4], [])


async def test_quota_holds_for_jobs_that_are_added_at_once(jobs):
    """Of ten that come at the same time, as many as a tenant may have; a refused one leaves nothing."""
    limits, refused = UploadLimits(per_tenant=3), []

    async def begin(number: int) -> None:
        try:
            await jobs.add(job(number), lambda own: limits.require_quota(own, 0))
        except ProviderBusy as error:
            refused.append(str(error))

    async with anyio.create_task_group() as tasks:
        for number in range(1, 11):
            tasks.start_soon(begin, number)

    assert (len(await jobs.find(tenant=None, person=None, state=None, before=None, limit=20)), len(refused)) == (3, 7)


async def test_quota_counts_what_is_announced_and_what_is_here(jobs):
    await add(
        jobs,
        job(1, length=10, received=4),
        job(2, received=7, state=JobState.QUEUED),
        job(3, length=100, state=JobState.DONE, received=100),
        job(4, length=1000, tenant="globex", person="anna"),
        job(6, length=5, person="anna"),
    )
    found = []
    await jobs.add(job(5), found.append)
    await jobs.add(job(7, person="anna"), found.append)

    assert found == [UploadUsage(3, 22), UploadUsage(4, 22, person_files=1, person_reserved=5)]
    assert await jobs.usage("globex") == UploadUsage(1, 1000)
    assert await jobs.received_bytes() == 11
    assert await jobs.unfinished([job(1).id, job(3).id, "none"]) == {job(1).id}


async def test_removed_job_leaves_no_part(jobs):
    await add(jobs, job(length=10))
    await jobs.change(job().id, lambda each: each.receive(0, 5, NOW), FilePart(0, 5, "a"))
    await jobs.remove(job().id)
    await jobs.remove(job().id)
    await add(jobs, job())

    assert await jobs.parts(job().id) == []
