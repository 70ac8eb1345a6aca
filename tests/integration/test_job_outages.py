"""The database goes away and comes back: uploads are refused with a code, speech goes on, jobs go on by themselves."""

import sqlite3
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from anyio import to_thread
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import open_database
from app.data.jobs import JobTable
from app.domain.job import JobState
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.postgres import new_database, postgres_server
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
FILE = HANDS.path.read_bytes()
TURN = SPEECH * 40 + SILENCE * 60


@asynccontextmanager
async def server(url: str):
    """A service whose jobs are in this database, and whose transcription waits for `go`."""
    async with open_database(url) as engine:
        service = scripted_service(jobs=JobTable(engine), lease_s=3.0)
        service.batch_transcriber.transcriber.go = anyio.Event()
        async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http:
            yield service, http


async def accepted(http) -> str:
    answer = await http.post("/recordings?wait=false", content=FILE)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def until_state(service, session: str, state: JobState) -> None:
    async def has_state() -> bool:
        return (await service.jobs.get(session)).state is state

    await until(has_state, seconds=60)


async def assert_refused_and_speech_goes_on(http, unfinished: str) -> None:
    """Every way to bring a byte is answered with 503 and a code; a session is heard meanwhile."""
    refused = [
        await http.post("/recordings?wait=false", content=FILE),
        await http.post("/recordings", content=FILE),
        await http.post("/recordings/uploads", headers={"Upload-Length": "10"}),
        await http.patch(unfinished, headers={"Upload-Offset": "5"}, content=b"more!"),
    ]
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda heard: heard.messages("server_response"), timeout_s=20)
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(503, "provider_busy")] * 4


async def unfinished_upload(http) -> str:
    begun = await http.post("/recordings/uploads", headers={"Upload-Length": "10"})
    await http.patch(begun.headers["location"], headers={"Upload-Offset": "0"}, content=b"five!")
    return begun.headers["location"]


async def assert_resumes(service, http, jobs: list[str], unfinished: str) -> None:
    service.batch_transcriber.transcriber.go.set()
    for session in jobs:
        await until_state(service, session, JobState.DONE)
        manifest = (await http.get(f"/recordings/{session}/manifest")).json()
        assert (bool(manifest["ended"]), manifest["samples"]) == (True, len(HANDS.pcm) // 2)
    more = await http.patch(unfinished, headers={"Upload-Offset": "5"}, content=b"more!")
    assert (more.status_code, more.headers["upload-offset"]) == (204, "10")


@contextmanager
def locked(path: Path):
    """Another program has the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def read_only(engine: AsyncEngine):
    """Writing is refused as on a disk that is mounted read-only."""
    writable = [True]

    def forbid(connection, *_) -> None:
        connection.execute(f"PRAGMA query_only = {int(not writable[0])}").close()

    event.listen(engine.sync_engine, "checkout", forbid)
    writable[0] = False
    yield
    writable[0] = True


@pytest.mark.slow
async def test_jobs_outlive_a_postgresql_that_is_stopped_and_started():
    """One runs, others wait, one is half received."""
    with postgres_server() as postgres:
        async with server(new_database(postgres.url)) as (service, http):
            jobs = [await accepted(http) for _ in range(3)]
            unfinished = await unfinished_upload(http)
            await until_state(service, jobs[0], JobState.RUNNING)
            await to_thread.run_sync(postgres.stop)
            await assert_refused_and_speech_goes_on(http, unfinished)
            await anyio.sleep(service.uploads.lease_s)
            await to_thread.run_sync(postgres.start)
            await assert_resumes(service, http, jobs, unfinished)
            attempts = [(await service.jobs.get(session)).attempts for session in jobs]

    assert attempts == [1, 1, 1]


async def test_new_files_are_accepted_after_an_sqlite_file_was_deleted(tmp_path):
    """The jobs that were in it are gone with it."""
    path = tmp_path / "parley.db"
    async with server(f"sqlite+aiosqlite:///{path}") as (service, http):
        service.batch_transcriber.transcriber.go.set()
        for file in tmp_path.glob("parley.db*"):
            file.unlink()

        async def is_accepted() -> bool:
            return (await http.post("/recordings?wait=false", content=FILE)).status_code == 202

        await until(is_accepted, seconds=30)
        (job,) = await service.jobs.find(tenant=None, person=None, state=None, before=None, limit=10)
        await until_state(service, job.id, JobState.DONE)


@pytest.mark.parametrize("fault", ["locked", "read-only"])
async def test_jobs_outlive_an_sqlite_file_that_cannot_be_written(tmp_path, fault):
    path = tmp_path / "parley.db"
    async with server(f"sqlite+aiosqlite:///{path}") as (service, http):
        jobs = [await accepted(http)]
        unfinished = await unfinished_upload(http)
        await until_state(service, jobs[0], JobState.RUNNING)
        with locked(path) if fault == "locked" else read_only(service.jobs.engine):
            await assert_refused_and_speech_goes_on(http, unfinished)
        await assert_resumes(service, http, jobs, unfinished)
