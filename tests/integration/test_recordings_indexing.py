"""The recordings index behind sessions and stores: without the database, after kill -9, at the first start, on two
servers."""

import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import anyio
import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from app.cli.recordings import recordings as command
from app.data.database import open_database, open_engine, prepare, transaction
from app.data.leases import LeaseTable
from app.data.live_sessions import LiveSessionTable
from app.data.recording_index import RecordingIndexTable
from app.data.recording_tables import RecordingRow, UtteranceRow
from app.domain.errors import ProviderBusy, ProviderDown
from app.domain.recording.blob_keys import index_key, manifest_key, session_folder
from app.domain.recording.listing import RecordingFilter
from app.domain.recording.manifest import Manifest
from app.runtime.recording.live_sessions import OwnSessionsAlone
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.reindexing import Reindexing
from app.runtime.recording.session_upload import encode_manifest
from app.runtime.recording.uploader import Uploader
from app.runtime.service import Service
from storage.filesystem import open_filesystem
from storage.session_log import open_session_log
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, MemoryBlobStore, MemorySessionLog
from tests.integration.test_start_without_database import forwarded
from tests.manifests import NOON, manifest, session_at
from tests.postgres import new_database
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 40 + SILENCE * 60
"""Three seconds, one utterance."""


@asynccontextmanager
async def process(store, database, **options):
    """One of several servers on a database and a store, and a client of it."""
    quick = {"chunk_ms": 1000, "write_interval_s": 0.0, "first_pause_s": 0.0, "longest_pause_s": 0.1}
    uploader = Uploader(MemorySessionLog(), store, **{**quick, **options})
    uploader.index, uploader.leases = RecordingIndexTable(database), LeaseTable(database)
    uploader.all_live_sessions = LiveSessionTable(database)
    service = scripted_service(uploader=uploader)
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as http:
        yield service, http


@asynccontextmanager
async def talking(http):
    """A session that has said one thing, and its id."""
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=10)
        yield talk, talk.messages("session")[0].message["id"]


async def listed(http, query: str = "") -> list[str]:
    answer = await http.get(f"/recordings{query}")
    return [each["id"] for each in answer.json()["recordings"]] if answer.status_code == 200 else []


async def is_listed(http, session: str, query: str = "") -> bool:
    return session in await listed(http, query)


async def is_over(service: Service) -> bool:
    return not (service.admission.sessions or service.uploader.session_log.records)


async def is_no_longer_live(service: Service, session: str) -> bool:
    """On any server, as far as this one knows."""
    return session not in await service.uploader.live_everywhere()


async def is_stored(service: Service, session: str) -> bool:
    return "whole" in await service.uploader.session_log.log_names(session)


async def rows_of(database, session: str) -> int:
    async with transaction(database) as connection:
        rows = await connection.execute(
            select(RecordingRow.id).where(RecordingRow.session == session, RecordingRow.day > "")
        )
        finals = await connection.execute(select(UtteranceRow.position).where(UtteranceRow.session == session))
        return len(rows.all()) + len(finals.all())


def put(store: MemoryBlobStore, said: Manifest) -> None:
    folder = session_folder(said.session, said.started)
    store.blobs[index_key(folder, said.tenant)] = b"{}"
    store.blobs[manifest_key(folder)] = encode_manifest(said)


@asynccontextmanager
async def closable(url: str):
    """The same database through a port that `forwarded` opens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = int(free.getsockname()[1])
    port = int(url.rpartition(":")[2].partition("/")[0])
    async with open_engine(url.replace(f":{port}/", f":{closed}/")) as database:
        await prepare(database, is_required=False)
        yield database, closed, port


# -- while a session lives, and without the database --------------------------------------------


async def test_live_session_is_listed_from_its_first_manifest_on(url):
    store = MemoryBlobStore()
    async with open_database(url) as database, process(store, database) as (service, http):
        async with talking(http) as (_, session):
            await until(lambda: is_listed(http, session, "?kind=live"), seconds=20)
        await until(lambda: is_over(service), seconds=20)

        assert await listed(http, "?kind=ended&text=hello") == [session]


async def test_recordings_go_on_without_the_database_and_are_listed_once_it_is_back(postgres):
    """The audio leaves the spool, the journal waits; the list says so with a code."""
    store = MemoryBlobStore()
    async with (
        closable(new_database(postgres)) as (database, closed, port),
        process(store, database) as (service, http),
    ):
        async with talking(http) as (_, session):
            pass
        await until(lambda: is_stored(service, session), seconds=20)
        logs = await service.uploader.session_log.log_names(session)
        away = await http.get("/recordings")
        manifest_there = await http.get(f"/recordings/{session}/manifest")
        health = (await http.get("/health")).json()
        async with forwarded(closed, port):
            await until(lambda: is_listed(http, session), seconds=30)
            await until(lambda: is_over(service), seconds=30)

    assert not [log for log in logs if log.startswith(("audio", "reply"))]
    assert "journal" in logs
    assert (away.status_code, away.json()["code"]) == (503, "provider_busy")
    assert manifest_there.status_code == 200
    assert health["index"]["waiting"] == 1
    assert health["archive"]["error"] is None


async def test_deletion_of_a_recording_that_waits_for_its_row_leaves_nothing(tmp_path):
    class AwayIndex(RecordingIndexTable):
        """Takes no row."""

        async def write(self, manifests):
            raise ProviderBusy("recordings", "asked to be away")

    store = MemoryBlobStore()
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database:
        async with process(store, database) as (service, http):
            service.uploader.index = AwayIndex(database)
            async with talking(http) as (_, session):
                pass
            await until(lambda: is_stored(service, session))
            await until(lambda: is_no_longer_live(service, session), seconds=20)
            deleted = await http.delete(f"/recordings/{session}")
            service.uploader.index = RecordingIndexTable(database)
            await until(lambda: is_over(service))
            assert await listed(http) == []

        assert deleted.status_code == 204
        assert store.recorded == {}
        assert await rows_of(database, session) == 0


KILLED = """
import os, signal, sys, anyio
from pathlib import Path
from app.domain.audio import AudioChunk, ms
from app.runtime.recording.uploader import Uploader
from storage.filesystem import open_filesystem
from storage.session_log import open_session_log

class KillingIndex:
    async def write(self, manifests):
        if not manifests[0].is_live:
            os.kill(os.getpid(), signal.SIGKILL)
        return frozenset()

async def main(folder):
    async with open_filesystem(folder=folder / "blobs") as store, open_session_log(folder=folder / "log") as log:
        uploader = Uploader(log, store, chunk_ms=1000, index=KillingIndex())
        async with uploader.running():
            async with uploader.record_session(sys.argv[2]) as recorder:
                await recorder.write_audio(AudioChunk(b"\\1\\0" * ms(2500), 0))
            await anyio.sleep(30)

anyio.run(main, Path(sys.argv[1]))
"""


async def test_kill_between_manifest_and_row_loses_nothing(tmp_path):
    """The next process writes the row; what was written into the manifest meanwhile stays."""
    session = session_at(NOON)
    killed = await anyio.run_process([sys.executable, "-c", KILLED, str(tmp_path), session], check=False)
    async with (
        open_filesystem(folder=tmp_path / "blobs") as store,
        open_session_log(folder=tmp_path / "log") as session_log,
        open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database,
    ):
        recordings = RecordingStore(store)
        left = [each for each, _ in await session_log.sessions()]
        rewritten = replace(await recordings.manifest(session), warnings=("written meanwhile",))
        await recordings.put_manifest(rewritten)
        index = RecordingIndexTable(database)
        async with Uploader(session_log, store, index=index, leases=LeaseTable(database)).running():
            pass

        assert (killed.returncode, left) == (-9, [session])
        assert [each.session for each in (await index.find(RecordingFilter())).recordings] == [session]
        assert await session_log.sessions() == []
        assert await recordings.manifest(session) == rewritten


# -- what was stored before there was an index ---------------------------------------------------


def a_store() -> tuple[MemoryBlobStore, list[str]]:
    """With recordings of two tenants, and what is not to be listed; and the ids that are, the newest first."""
    store = MemoryBlobStore()
    good = [
        manifest(
            f"words {number}",
            at=NOON + timedelta(minutes=number),
            number=number,
            tenant=("acme", "default")[number % 2],
        )
        for number in range(60)
    ]
    bad, begun, deleted = (manifest("x", number=number) for number in (900, 901, 902))
    for each in (*good, bad, begun, deleted):
        put(store, each)
    store.blobs[manifest_key(session_folder(bad.session, bad.started))] = b'{"x":'
    del store.blobs[manifest_key(session_folder(begun.session, begun.started))]
    store.blobs[f"tombstones/sessions/{deleted.session}"] = b"{}"
    return store, sorted((each.session for each in good), reverse=True)


async def test_first_start_indexes_the_store_in_the_background_and_says_so(url):
    store, sessions = a_store()
    read, go = store.get, anyio.Event()

    async def waiting(key: str) -> bytes:
        if key.endswith("manifest.json"):
            await go.wait()
        return await read(key)

    store.get = waiting
    async with open_database(url) as database, process(store, database) as (_, http):
        first = (await http.get("/recordings")).json()
        health = (await http.get("/health")).json()["index"]
        go.set()

        async def is_complete() -> bool:
            return (await http.get("/health")).json()["index"]["status"] == "complete"

        await until(is_complete, seconds=30)
        page = (await http.get("/recordings?limit=200")).json()
        searched = await listed(http, "?text=words+59&tenant=default")

    assert (first["recordings"], first["indexing"], health["status"]) == ([], True, "indexing")
    assert [each["id"] for each in page["recordings"]] == sessions
    assert (page["indexing"], page["unreadable"], page["next"]) == (False, 1, None)
    assert searched == [sessions[0]]


async def test_first_indexing_goes_on_after_a_process_that_died(url):
    """What is in the index is not read again."""
    store, sessions = a_store()
    read, reads = store.get, []

    async def failing(key: str) -> bytes:
        if key.endswith("manifest.json"):
            reads.append(key)
            if len(reads) > 50:
                raise ProviderDown("scripted", "asked to fail")
        return await read(key)

    async with open_database(url) as database:
        index = RecordingIndexTable(database)
        store.get = failing
        with pytest.raises(ProviderDown):
            await Reindexing(RecordingStore(store), index).run(skips_known=True)
        store.get, before = read, len((await index.find(RecordingFilter(limit=200))).recordings)
        counted = []

        async def counting(key: str) -> bytes:
            counted.append(key)
            return await read(key)

        store.get = counting
        await Reindexing(RecordingStore(store), index).run(skips_known=True)
        found = [each.session for each in (await index.find(RecordingFilter(limit=200))).recordings]

    assert 0 < before < 60
    assert found == sessions
    assert len([key for key in counted if key.endswith("manifest.json")]) <= 62 - before


async def test_two_servers_that_start_on_one_store_index_it_once(postgres):
    store, sessions = a_store()
    read, reads = store.get, []

    async def counting(key: str) -> bytes:
        if key.endswith("manifest.json"):
            reads.append(key)
        return await read(key)

    store.get = counting
    url = new_database(postgres)
    async with (
        open_database(url) as database,
        process(store, database) as (_, one),
        process(store, database) as (_, other),
    ):

        async def is_complete() -> bool:
            return not (await one.get("/recordings")).json()["indexing"]

        await until(is_complete, seconds=30)
        found = [await listed(http, "?limit=200") for http in (one, other)]

    assert found == [sessions, sessions]
    assert len(reads) == len(set(reads))


async def test_reindexing_beside_a_writer_never_replaces_what_is_newer(url):
    """It has read the manifest of a live session, which is over when it writes."""
    store = MemoryBlobStore()
    live, over = manifest("one", ended=None), manifest("one", "two")
    put(store, live)
    read = store.get
    async with open_database(url) as database:
        index = RecordingIndexTable(database)

        async def overtaken(key: str) -> bytes:
            blob = await read(key)
            if key.endswith("manifest.json"):
                await index.write([over])
            return blob

        store.get = overtaken
        await Reindexing(RecordingStore(store), index).run()
        (row,) = (await index.find(RecordingFilter())).recordings

    assert (row.state, row.utterances) == ("ended", 2)


async def test_reindexing_leaves_out_what_is_deleted_meanwhile(url):
    """Between its reading and its writing."""
    store, said = MemoryBlobStore(), manifest("one")
    put(store, said)
    read = store.get
    async with open_database(url) as database:
        index = RecordingIndexTable(database)
        uploader = Uploader(MemorySessionLog(), store, index=index)

        async def deleting(key: str) -> bytes:
            blob = await read(key)
            if key.endswith("manifest.json"):
                store.get = read
                await uploader.delete(said.session, "default")
            return blob

        store.get = deleting
        await Reindexing(RecordingStore(store), index).run()

        assert await rows_of(database, said.session) == 0
    assert store.recorded == {}


async def test_command_makes_the_index_anew(tmp_path, monkeypatch):
    """Of one tenant or of all; rows of what is no longer in the store go, those of the other tenant stay."""
    url = f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    settings = {"PARLEY_DATABASE_URL": url, "PARLEY_AUDIO_STORAGE_DIR": str(tmp_path / "blobs")}
    acme, other, vanished = manifest("a", tenant="acme"), manifest("b", number=1), manifest("c", number=2)
    async with open_filesystem(folder=tmp_path / "blobs") as store, open_database(url) as database:
        memory = MemoryBlobStore()
        for each in (acme, other):
            put(memory, each)
        for key, blob in memory.blobs.items():
            await store.put(key, blob, content_type="application/json")
        index = RecordingIndexTable(database)
        await index.write([vanished])

        async def run(*arguments: str):
            return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(command, arguments, env=settings))

        of_tenant = await run("reindex", "--tenant", "acme")
        between = await index.find(RecordingFilter())
        of_all = await run("reindex")
        after = await index.find(RecordingFilter())

    assert (of_tenant.exit_code, of_all.exit_code) == (0, 0), of_tenant.output + of_all.output
    assert [each.session for each in between.recordings] == [vanished.session, acme.session]
    assert between.is_indexing
    assert "2 recordings indexed, 0 of them cannot be read; 1 that are no longer in the store removed" in of_all.stdout
    assert [each.session for each in after.recordings] == [other.session, acme.session]
    assert not after.is_indexing


async def test_command_lists_searches_and_deletes_at_a_server(tmp_path):
    store = MemoryBlobStore()
    said = [manifest(f"words {number}", number=number, tenant="acme") for number in range(3)]
    for each in said:
        put(store, each)
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database:
        await RecordingIndexTable(database).write(said)
        async with process(store, database) as (service, http):

            async def run(*arguments: str):
                url = str(http.base_url)
                return await anyio.to_thread.run_sync(
                    lambda: CliRunner().invoke(command, [*arguments, "--url", url], env={"COLUMNS": "250"})
                )

            first = await run("list", "--limit", "2")
            rest = await run("list", "--before", first.stderr.split("--before ")[1].strip(), "--since", "2026-11-20")
            found = await run("search", '"words 1"')
            deleted = await run("delete", said[1].session)
            again = await run("delete", said[1].session)
            left = await run("search", "words*")

    shown = [[each.session for each in said if each.session in result.stdout] for result in (first, rest, found, left)]
    assert shown == [
        [said[1].session, said[2].session],
        [said[0].session],
        [said[1].session],
        [said[0].session, said[2].session],
    ]
    assert "2 indexRows" in deleted.stdout
    assert "1 blobs" in deleted.stdout
    assert again.exit_code != 0
    assert "no such recording" in str(again.exception)
    assert await_no_blob(store, said[1].session)
    assert service.uploader.session_log.records == {}


def await_no_blob(store: MemoryBlobStore, session: str) -> bool:
    return not any(session in key for key in store.recorded)


# -- two servers on one PostgreSQL and one store --------------------------------------------------


async def test_deletion_on_one_server_of_a_session_that_lives_on_another_is_refused_until_it_is_over(postgres):
    store = MemoryBlobStore()
    async with (
        open_database(new_database(postgres)) as database,
        process(store, database) as (owner, at_owner),
        process(store, database) as (other, at_other),
    ):
        async with talking(at_owner) as (_, session):
            await until(lambda: is_listed(at_other, session), seconds=20)

            async def is_announced() -> bool:
                return session in await other.uploader.live_everywhere()

            await until(is_announced, seconds=20)
            refused = await at_other.delete(f"/recordings/{session}")
        await until(lambda: is_over(owner), seconds=20)
        await until(lambda: is_no_longer_live(other, session), seconds=20)
        deleted = await at_other.delete(f"/recordings/{session}")
        left = [await listed(http) for http in (at_owner, at_other)]

        assert (refused.status_code, refused.json()["code"]) == (409, "still_live")
        assert (deleted.status_code, left, store.recorded) == (204, [[], []], {})
        assert await rows_of(database, session) == 0


async def test_deletion_stops_a_server_that_did_not_announce_its_session_and_leaves_nothing(postgres):
    """It hangs, or its announcement is not there yet: what it stores and writes later is deleted, and no row comes."""
    store = MemoryBlobStore()
    async with (
        open_database(new_database(postgres)) as database,
        process(store, database) as (owner, at_owner),
        process(store, database) as (_, at_other),
    ):
        owner.uploader.all_live_sessions = OwnSessionsAlone()

        async def is_unknown() -> bool:
            return session not in await LiveSessionTable(database).everywhere()

        async with talking(at_owner) as (talk, session):
            await until(lambda: is_listed(at_other, session), seconds=20)
            await LiveSessionTable(database, "nobody").announce([])
            async with transaction(database) as connection:
                await connection.exec_driver_sql("DELETE FROM live_processes")
            await until(is_unknown, seconds=20)
            deleted = await at_other.delete(f"/recordings/{session}?receipt=true")
            gone_at_once = await listed(at_other)
            await talk.send_audio(TURN, pace=0)
            assert await talk.wait_until(lambda t: len(t.messages("server_response")) == 2, timeout_s=10)
        await until(lambda: is_over(owner), seconds=20)
        left = [await listed(http) for http in (at_owner, at_other)]
        rows = await rows_of(database, session)
        await Reindexing(RecordingStore(store), RecordingIndexTable(database)).run()

        assert deleted.json()["deleted"]["indexRows"] >= 1
        assert (gone_at_once, left, rows, store.recorded) == ([], [[], []], 0, {})
        assert owner.uploader.session_log.records == {}
        assert await rows_of(database, session) == 0


async def test_retention_of_two_servers_deletes_each_recording_once(postgres):
    store = MemoryBlobStore()
    old = [manifest("old", number=number, at=NOON - timedelta(days=90)) for number in range(30)]
    new = manifest("new")
    for each in (*old, new):
        put(store, each)
    deletions: list[str] = []
    async with open_database(new_database(postgres)) as database, AsyncExitStack() as stack:
        await RecordingIndexTable(database).write([*old, new])
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for _ in range(2):
            uploader = Uploader(
                MemorySessionLog(),
                store,
                now=lambda: NOON,
                keep_days=30,
                index=RecordingIndexTable(database),
                leases=LeaseTable(database),
            )

            async def delete(session: str, tenant: str, uploader: Uploader = uploader) -> None:
                deletions.append(session)
                await anyio.sleep(0.01)
                await uploader.delete(session, tenant)

            tasks.start_soon(replace(uploader.retention, delete=delete).run)

        async def is_done() -> bool:
            return sum(key.endswith("manifest.json") for key in store.blobs) == 1

        await until(is_done, seconds=30)
        tasks.cancel_scope.cancel()

    assert sorted(deletions) == [each.session for each in old]


async def test_retention_finishes_what_a_deletion_left(tmp_path):
    """The store failed in the middle of it; the recording was in no list since."""
    store, said = MemoryBlobStore(), manifest("half", tenant="acme")
    put(store, said)
    remove = store.delete

    async def failing(key: str) -> None:
        raise ProviderDown("scripted", "asked to fail")

    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database:
        index = RecordingIndexTable(database)
        await index.write([said])
        uploader = Uploader(MemorySessionLog(), store, now=lambda: NOON, index=index, leases=LeaseTable(database))
        store.delete = failing
        with pytest.raises(ProviderDown):
            await uploader.delete(said.session, "acme")
        store.delete = remove
        shown = (await index.find(RecordingFilter())).recordings

        finished = await uploader.retention.delete_expired()

    assert (list(shown), finished, store.recorded) == ([], 1, {})


async def test_retention_deletes_nothing_while_the_database_is_away(postgres):
    store, said = MemoryBlobStore(), manifest("old", at=NOON - timedelta(days=90))
    put(store, said)
    async with closable(new_database(postgres)) as (database, _, _):
        index, leases = RecordingIndexTable(database), LeaseTable(database)
        uploader = Uploader(MemorySessionLog(), store, now=lambda: NOON, keep_days=1, index=index, leases=leases)

        with pytest.raises(ProviderBusy):
            await uploader.retention.delete_expired()

    assert len(store.recorded) == 2
