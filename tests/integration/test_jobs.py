"""The jobs of files over HTTP and by `parley jobs`: list, one, its events, cancellation; of the tenant alone."""

import json
from dataclasses import replace
from itertools import pairwise

import anyio
import httpx
import pytest
from anyio import to_thread
from click.testing import CliRunner

from app.cli.jobs import jobs
from app.domain.errors import ProviderBusy
from app.domain.job import TranscriptionJob
from app.domain.tenant import Tenant, fingerprint
from app.runtime.ids import new_id
from app.runtime.jobs.job_store import utc_now
from app.web.jobs.job_events import JobEvents
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import MemoryJobs
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
FILE = HANDS.path.read_bytes()
TENANTS = (
    Tenant("acme", keys=(fingerprint("acme-key"),)),
    Tenant("globex", keys=(fingerprint("globex-key"),)),
    Tenant("operator", keys=(fingerprint("operator-key"),), operator=True),
)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
async def service():
    service = scripted_service(tenants=lambda: TENANTS)
    service.batch_transcriber.transcriber.go = anyio.Event()
    return service


@pytest.fixture
async def http(service):
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        client.headers.update(bearer("acme-key"))
        yield client


async def always() -> bool:
    return True


async def sent(http, **query: str) -> str:
    answer = await http.post("/recordings", params={"wait": "false", **query}, content=FILE)
    assert answer.status_code == 202
    return answer.json()["id"]


async def until_state(http, session: str, state: str) -> dict:
    async def has_state() -> bool:
        return (await http.get(f"/jobs/{session}")).json()["state"] == state

    await until(has_state, seconds=20)
    return (await http.get(f"/jobs/{session}")).json()


async def test_job_tells_state_bytes_progress_and_times(http, service):
    session = await sent(http, language="de")
    running = await until_state(http, session, "running")
    service.batch_transcriber.transcriber.go.set()
    done = await until_state(http, session, "done")

    assert (running["id"], running["tenant"], running["source"], running["language"]) == (
        session,
        "acme",
        "upload",
        "de",
    )
    assert running["bytes"] == {"received": len(FILE), "length": None}
    assert (running["attempts"], running["code"], running["finished"]) == (1, None, None)
    assert done["progress"]["seconds"] == pytest.approx(len(HANDS.pcm) / 32_000, abs=0.05)
    assert done["created"] <= done["finished"]


async def test_jobs_of_other_tenants_are_as_if_they_were_not(http, service):
    """An operator sees them all, and can ask for those of one."""
    session = await sent(http)
    answers = [
        await http.request(method, f"/jobs/{session}{rest}", headers=bearer("globex-key"))
        for method, rest in (("GET", ""), ("GET", "/events"), ("DELETE", ""))
    ]
    lists = {
        (key, query): [job["id"] for job in (await http.get(f"/jobs{query}", headers=bearer(key))).json()["jobs"]]
        for key in ("acme-key", "globex-key", "operator-key")
        for query in ("", "?tenant=acme", "?tenant=globex")
    }

    assert [answer.status_code for answer in answers] == [404] * 3
    assert {who for who, found in lists.items() if found == [session]} == {
        ("acme-key", ""),
        ("acme-key", "?tenant=acme"),
        ("operator-key", ""),
        ("operator-key", "?tenant=acme"),
    }
    assert all(found in ([session], []) for found in lists.values())


async def test_unknown_state_is_refused_by_the_name_of_its_parameter(http):
    answer = await http.get("/jobs?state=lost")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "state: " in answer.json()["message"]
    assert "only" not in answer.json()["message"]


@pytest.mark.parametrize("before", ["", "a b", "../x", "-", "é", "asleep", "0" * 31, "A" * 32])
async def test_jobs_behind_no_page_of_the_list_are_refused(http, before):
    answer = await http.get("/jobs", params={"before": before})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["message"].startswith("before: ")


async def test_jobs_are_listed_page_by_page_and_by_state(http, service):
    service.admission.max_sessions = 0
    sessions = [await sent(http) for _ in range(3)]
    await http.delete(f"/jobs/{sessions[0]}")
    first = (await http.get("/jobs?limit=2")).json()
    second = (await http.get(f"/jobs?limit=2&before={first['next']}")).json()
    cancelled = (await http.get("/jobs?state=cancelled")).json()

    assert [job["id"] for job in first["jobs"]] == sessions[:0:-1]
    assert ([job["id"] for job in second["jobs"]], second["next"]) == ([sessions[0]], None)
    assert [job["id"] for job in cancelled["jobs"]] == [sessions[0]]


async def test_long_files_of_one_tenant_leave_a_place_to_the_others(http, service):
    first, second, third = [await sent(http) for _ in range(3)]
    for session in (first, second):
        await until_state(http, session, "running")

    answer = await http.post("/recordings", params={"wait": "false"}, content=FILE, headers=bearer("globex-key"))
    http.headers.update(bearer("operator-key"))
    await until_state(http, answer.json()["id"], "running")

    assert (await http.get(f"/jobs/{third}")).json()["state"] == "queued"


async def test_events_of_a_job_end_with_it(http, service):
    """Each is the job as JSON; none comes twice."""
    session = await sent(http)
    await until_state(http, session, "running")
    events, names = [], set()
    async with http.stream("GET", f"/jobs/{session}/events") as response:
        kind = response.headers["content-type"]
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                names.add(value)
            elif name == "data":
                events.append(json.loads(value))
                service.batch_transcriber.transcriber.go.set()

    assert kind.startswith("text/event-stream")
    assert names == {"job"}
    assert (events[0]["state"], events[-1]["state"]) == ("running", "done")
    assert all(one != other for one, other in pairwise(events))


async def test_events_have_comments_while_nothing_happens_and_end_where_the_server_stops():
    store = MemoryJobs()
    job = TranscriptionJob(new_id(), "acme", utc_now(), utc_now(), utc_now())
    await store.add(job, lambda _: None)
    found = []
    async for message in JobEvents(store, lambda: len(found) == 3, always, poll_s=0.01, comment_after_s=0.05).follow(
        job
    ):
        found.append(message)  # noqa: PERF401 because `is_stopping` looks at it meanwhile

    assert [(message.event, message.comment) for message in found] == [
        ("job", None),
        (None, "waiting"),
        (None, "waiting"),
    ]
    assert found[1].encode() == b": waiting\r\n\r\n"


async def test_events_survive_a_database_that_is_away_and_tell_of_a_deletion():
    store = MemoryJobs()
    job = TranscriptionJob(new_id(), "acme", utc_now(), utc_now(), utc_now(), length=10)
    await store.add(job, lambda _: None)
    names = []
    async for message in JobEvents(store, lambda: False, always, poll_s=0.01, comment_after_s=0.05).follow(job):
        names.append(message.event or message.comment)
        match len(names):
            case 1:
                store.error = ProviderBusy("jobs", "asked to fail")
            case 2:
                store.error = None
                store.rows[job.id] = replace(job, received=5)
            case 3:
                store.rows.clear()

    assert names == ["job", "waiting", "job", "deleted"]


async def test_events_end_where_the_server_is_told_to_stop(service):
    """At once, not after the twenty seconds that sessions have."""
    async with anyio.create_task_group() as tasks:
        ended = anyio.Event()

        async def follow(address: str, session: str) -> None:
            async with (
                httpx.AsyncClient(headers=bearer("acme-key"), timeout=20) as http,
                http.stream("GET", f"http://{address}/jobs/{session}/events") as response,
            ):
                async for line in response.aiter_lines():
                    if line.startswith("data"):
                        started.set()
            ended.set()

        started = anyio.Event()
        async with served(service, drain_seconds=20) as address, httpx.AsyncClient(timeout=20) as http:
            url = f"http://{address}/recordings?wait=false"
            session = (await http.post(url, headers=bearer("acme-key"), content=FILE)).json()["id"]
            tasks.start_soon(follow, address, session)
            with anyio.fail_after(20):
                await started.wait()
        with anyio.fail_after(5):
            await ended.wait()


async def test_events_have_a_limited_number_of_followers_of_each_tenant(http, service):
    """Those of another tenant still find a place; one that has left makes room."""
    service.limits.followers.per_tenant = 1

    async def nobody_follows() -> bool:
        return service.limits.followers.count == 0

    session, other = (
        await sent(http),
        await http.post("/recordings?wait=false", content=FILE, headers=bearer("globex-key")),
    )
    async with http.stream("GET", f"/jobs/{session}/events") as first:
        assert await anext(first.aiter_lines())
        second = await http.get(f"/jobs/{session}/events")
        foreign = f"/jobs/{other.json()['id']}/events"
        async with http.stream("GET", foreign, headers=bearer("globex-key")) as third:
            assert await anext(third.aiter_lines()) == "event: job"
    await until(nobody_follows)
    service.batch_transcriber.transcriber.go.set()

    assert (second.status_code, second.json()["code"]) == (503, "provider_busy")
    assert (await http.get(f"/jobs/{session}/events")).status_code == 200


async def test_events_end_where_the_key_is_revoked(http, service):
    """Nothing more is told of the job, which goes on."""
    session = await sent(http)
    await until_state(http, session, "running")
    tenants = list(TENANTS)
    service.tenants = lambda: tuple(tenants)
    events = 0
    with anyio.fail_after(10):
        async with http.stream("GET", f"/jobs/{session}/events") as response:
            async for line in response.aiter_lines():
                events += line == "event: job"
                tenants[:] = TENANTS[1:]

    assert events >= 1
    assert not service.jobs.rows[session].is_finished
    service.batch_transcriber.transcriber.go.set()


async def command(http, *arguments: str) -> tuple[int, str]:
    """Status and output of `parley jobs`."""
    options = ["--url", str(http.base_url), "--key", "acme-key"]
    result = await to_thread.run_sync(lambda: CliRunner().invoke(jobs, [arguments[0], *options, *arguments[1:]]))
    return result.exit_code, result.stdout


async def test_jobs_command_lists_shows_watches_and_cancels(http, service):
    service.admission.max_sessions = 0
    first, second = await sent(http), await sent(http)
    cancelled = await command(http, "cancel", first)
    listed = await command(http, "list", "--json", "--state", "queued")
    table = await command(http, "list")
    service.batch_transcriber.transcriber.go.set()
    service.admission.max_sessions = 4
    service.uploads.notify()
    watched = await command(http, "watch", second)
    shown = await command(http, "show", second)
    failed = await command(http, "watch", first)

    assert cancelled == (0, f"{first} cancelled\n")
    assert (listed[0], [json.loads(line)["id"] for line in listed[1].splitlines()]) == (0, [second])
    assert first in table[1]
    assert second in table[1]
    assert (watched[0], watched[1].splitlines()[-1].split()[:2]) == (0, [second, "done"])
    assert json.loads(shown[1])["state"] == "done"
    assert failed == (1, f"{first} cancelled\n")
