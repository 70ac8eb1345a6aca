"""The disk of the database is full: speech goes on, recordings wait, writes are 503; with room all goes on again."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from pwd import getpwnam
from tempfile import mkdtemp

import anyio
import pytest
from anyio import to_thread

from app.data.database import open_database
from app.data.leases import LeaseTable
from app.data.live_sessions import LiveSessionTable
from app.data.recording_index import RecordingIndexTable
from app.domain.job import JobState
from app.runtime.recording.journal import WHOLE
from app.runtime.recording.uploader import Uploader
from storage.filesystem import open_filesystem
from storage.session_log import open_session_log
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.integration.conversation_service import ConversationServer, bearer, conversation_server
from tests.postgres import PostgresServer, new_database, postgres_server
from tests.streaming_client import open_session
from tests.strict import missing

pytestmark = pytest.mark.anyio
FILE = HANDS.path.read_bytes()
TURN = SPEECH * 40 + SILENCE * 60


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A disk of its own, which every user may enter."""
    folder = Path(mkdtemp(prefix="parley-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            missing("the right to mount a tmpfs")
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    finally:
        folder.rmdir()


@contextmanager
def database_on(kind: str, disk: Path) -> Iterator[str]:
    """The URL of an empty database whose tables are on this disk."""
    if kind == "sqlite":
        yield f"sqlite+aiosqlite:///{disk}/parley.db"
        return
    with postgres_server() as server:
        place = disk / "tables"
        place.mkdir(mode=0o700)
        if server.user:
            os.chown(place, getpwnam(server.user).pw_uid, -1)
        url = new_database(server.url)
        for statement in (
            f"CREATE TABLESPACE small LOCATION '{place}'",
            f"ALTER DATABASE {url.rpartition('/')[2]} SET TABLESPACE small",
        ):
            psql = ["psql", "-q", "-h", "127.0.0.1", "-p", str(server.port), "-U", "parley", "-c", statement]
            subprocess.run([*psql, "postgres"], check=True, capture_output=True)
        yield url


def fill(disk: Path) -> Path:
    """Take all the room that is left; the file that does."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler


@asynccontextmanager
async def server_on(url: str, folder: Path):
    """A service with everything in this database, and spool and store on another disk."""
    async with (
        open_session_log(folder=folder / "spool") as session_log,
        open_filesystem(folder=folder / "blobs") as store,
        open_database(url) as database,
    ):
        uploader = Uploader(
            session_log, store, chunk_ms=1000, write_interval_s=0.0, first_pause_s=0.01, longest_pause_s=0.1
        )
        uploader.index, uploader.leases = RecordingIndexTable(database), LeaseTable(database)
        uploader.all_live_sessions = LiveSessionTable(database)
        async with conversation_server(url, uploader=uploader, lease_s=3.0) as server:
            yield server


async def record_a_turn(server: ConversationServer) -> str:
    """Say something until it is answered with text; the id of the session."""
    async with open_session(f"ws://{server.address}/ws/transcribe", key="acme-key") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda heard: heard.messages("fullSentence"), timeout_s=20)
        return str(talk.messages("session")[0].message["id"])


async def listed(server: ConversationServer) -> list[str]:
    answer = await server.http.get("/recordings?text=hello")
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["recordings"]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_service_outlives_a_full_disk_of_its_database(tmp_path, kind):
    """A job runs meanwhile, and ends when there is room."""
    with small_disk(1 if kind == "sqlite" else 24) as disk, database_on(kind, disk) as url:
        async with server_on(url, tmp_path) as server:
            go = server.service.batch_transcriber.transcriber.go = anyio.Event()
            job = (await server.http.post("/recordings?wait=false", content=FILE)).json()["id"]

            async def is_job(state: JobState) -> bool:
                return (await server.service.jobs.get(job)).state is state

            await until(lambda: is_job(JobState.RUNNING), seconds=20)
            filler = fill(disk)

            refused = [await server.http.post("/conversations", json={})]
            if kind == "sqlite":  # PostgreSQL goes on filling pages that it has begun, and jobs have one
                refused += [
                    await server.http.post("/recordings?wait=false", content=FILE),
                    await server.http.post("/recordings/uploads", headers={"Upload-Length": "10"}),
                ]
            session = await record_a_turn(server)

            async def waits_for_its_row() -> bool:
                health = await server.http.get("/health", headers=bearer("ops-key"))
                is_whole = WHOLE in await server.service.uploader.session_log.log_names(session)
                return is_whole and health.json()["index"]["waiting"] == 1

            await until(waits_for_its_row, seconds=20)
            during = await listed(server)
            manifest = await server.http.get(f"/recordings/{session}/manifest")
            reading = await server.http.get("/conversations")
            go.set()

            filler.unlink()
            await until(lambda: is_job(JobState.DONE), seconds=60)

            async def is_listed() -> bool:
                return session in await listed(server)

            await until(is_listed, seconds=60)
            begun = await server.http.post("/conversations", json={})

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(503, "provider_busy")] * len(
        refused
    )
    assert during == []
    assert [final["text"] for final in manifest.json()["finals"] if final["text"]] == ["hello"]
    assert reading.status_code == 200
    assert begun.status_code == 201


def use_up_the_log(server: PostgresServer) -> None:
    """Write more than the segments of the write-ahead log that PostgreSQL has already; it ends of that."""
    psql = ["psql", "-q", "-h", "127.0.0.1", "-p", str(server.port), "-U", "parley", "postgres", "-c"]
    writing = "CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)"
    ended = subprocess.run([*psql, writing], check=False, capture_output=True, text=True)
    assert ended.returncode, ended
    assert "No space left on device" in (server.folder / "log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_service_outlives_a_full_disk_of_the_write_ahead_log(tmp_path):
    """PostgreSQL ends of it, and is started again when there is room: then what has waited is written."""
    with small_disk(24) as disk:
        (disk / "wal").mkdir(mode=0o700)
        with postgres_server(log_folder=disk / "wal") as postgres:
            async with server_on(new_database(postgres.url), tmp_path) as server:
                go = server.service.batch_transcriber.transcriber.go = anyio.Event()
                kept = (await server.http.post("/conversations", json={})).json()["id"]
                job = (await server.http.post("/recordings?wait=false", content=FILE)).json()["id"]

                async def is_job(state: JobState) -> bool:
                    return (await server.service.jobs.get(job)).state is state

                await until(lambda: is_job(JobState.RUNNING), seconds=20)
                filler = fill(disk)
                await to_thread.run_sync(use_up_the_log, postgres)

                refused = [
                    await server.http.post("/conversations", json={}),
                    await server.http.post(f"/conversations/{kept}/messages", json={"text": "Hello."}),
                    await server.http.get("/conversations"),
                    await server.http.post("/recordings?wait=false", content=FILE),
                    await server.http.get("/recordings"),
                    await server.http.get("/jobs"),
                ]
                session = await record_a_turn(server)
                log = server.service.uploader.session_log

                async def is_whole() -> bool:
                    return WHOLE in await log.log_names(session)

                await until(is_whole, seconds=20)
                manifest = await server.http.get(f"/recordings/{session}/manifest")
                go.set()

                filler.unlink()
                await to_thread.run_sync(postgres.restart_if_ended)
                await until(lambda: is_job(JobState.DONE), seconds=60)

                async def is_listed() -> bool:
                    return session in await listed(server)

                await until(is_listed, seconds=60)
                answered = await server.http.post(f"/conversations/{kept}/messages", json={"text": "Hello."})

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(503, "provider_busy")] * 6
    assert [final["text"] for final in manifest.json()["finals"] if final["text"]] == ["hello"]
    assert answered.status_code == 200
