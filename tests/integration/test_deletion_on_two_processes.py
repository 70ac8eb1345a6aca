"""Two services on one store, each with a spool of its own: a session that one records is deleted on the other."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.data.database import open_database
from app.data.live_sessions import LiveSessionTable
from app.runtime.recording.uploader import Uploader
from app.runtime.service import Service
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, MemoryBlobStore, MemorySessionLog
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 40 + SILENCE * 60
"""Three seconds, one utterance."""


@asynccontextmanager
async def process(store: MemoryBlobStore, database_url: str) -> AsyncGenerator[tuple[Service, httpx.AsyncClient], None]:
    """One of several servers, and a client of it."""
    async with open_database(database_url) as database:
        uploader = Uploader(MemorySessionLog(), store, chunk_ms=1000, write_interval_s=0.0, first_pause_s=0.0)
        uploader.all_live_sessions = LiveSessionTable(database)
        service = scripted_service(uploader=uploader)
        async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http:
            yield service, http


@asynccontextmanager
async def live_session(http: httpx.AsyncClient, store: MemoryBlobStore) -> AsyncGenerator[tuple, None]:
    """A session that speaks, with a manifest in the store, and its id."""
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        await until(lambda: has_manifest(store))
        yield talk, talk.messages("session")[0].message["id"]


async def has_manifest(store: MemoryBlobStore) -> bool:
    return any(key.endswith("manifest.json") for key in store.blobs)


async def is_over(service: Service) -> bool:
    return not (service.admission.sessions or service.uploader.session_log.records)


async def is_announced(service: Service, session: str, *, live: bool) -> bool:
    return (session in await service.uploader.all_live_sessions.everywhere()) is live


async def test_deletion_of_a_session_that_another_process_records_is_refused_until_it_is_over(tmp_path):
    """On both processes alike; afterwards the other one deletes it for good."""
    store, url = MemoryBlobStore(), f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    async with process(store, url) as (owner, at_owner), process(store, url) as (other, at_other):
        async with live_session(at_owner, store) as (_, session):
            await until(lambda: is_announced(other, session, live=True))
            refused = [await http.delete(f"/recordings/{session}") for http in (at_owner, at_other)]
        await until(lambda: is_over(owner))
        await until(lambda: is_announced(other, session, live=False))
        deleted = await at_other.delete(f"/recordings/{session}?receipt=true")
        gone = [(await http.get(f"/recordings/{session}/manifest")).status_code for http in (at_owner, at_other)]

    assert [(response.status_code, response.json()["code"]) for response in refused] == [(409, "still_live")] * 2
    assert (deleted.status_code, deleted.json()["session"]) == (200, session)
    assert deleted.json()["deleted"]["blobs"] > 0
    assert gone == [404, 404]
    assert store.recorded == {}


async def test_deletion_where_processes_share_no_database_ends_the_recording(tmp_path):
    """What the client says on is not recorded; nothing is left in store, spool and index."""
    store = MemoryBlobStore()
    own, others = f"sqlite+aiosqlite:///{tmp_path}/own.db", f"sqlite+aiosqlite:///{tmp_path}/others.db"
    async with process(store, own) as (owner, at_owner), process(store, others) as (_, at_other):
        async with live_session(at_owner, store) as (talk, session):
            deleted = await at_other.delete(f"/recordings/{session}")
            await talk.send_audio(TURN, pace=0)
            assert await talk.wait_until(lambda t: len(t.messages("server_response")) == 2, timeout_s=5)
        await until(lambda: is_over(owner))
        listed = [(await http.get("/recordings")).json()["recordings"] for http in (at_owner, at_other)]
        manifest = await at_owner.get(f"/recordings/{session}/manifest")

    assert deleted.status_code == 204
    assert (manifest.status_code, listed) == (404, [[], []])
    assert store.recorded == {}
    assert owner.uploader.session_log.records == {}
