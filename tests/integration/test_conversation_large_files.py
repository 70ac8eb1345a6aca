"""Files of more than 25 MB for a conversation: a job appends message and reply, each once."""

import io
import wave
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import httpx
import pytest

from app.data.api_keys import KeyStore
from app.data.database import open_database
from app.domain.errors import ProviderDown
from app.domain.principal import Scope
from app.domain.upload_limits import UploadLimits
from app.runtime.authentication import AnyOf, DatabaseKeys
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.jobs.job_lease import JobLease
from app.runtime.spoken_files import SpokenFiles
from app.web.conversations.audio import MAX_BYTES
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import ScriptedDetector, ScriptedGenerator, ScriptedTranscriber
from tests.integration.conversation_service import ACME, ConversationServer, bearer, conversation_server

pytestmark = pytest.mark.anyio
WORDS = "Will it rain?"


@pytest.fixture
def sqlite(tmp_path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/parley.db"


@cache
def large_file() -> bytes:
    """Two channels of 96 kHz: speech, and silence behind it; a little more than the limit."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(96_000)
        sound.writeframes(HANDS.pcm + bytes(MAX_BYTES))
    return file.getvalue()


@asynccontextmanager
async def serving(url: str, **options) -> AsyncGenerator[ConversationServer, None]:
    transcriber = BatchTranscriber(ScriptedDetector(), ScriptedTranscriber(WORDS), None)
    async with conversation_server(url, batch_transcriber=transcriber, **options) as server:
        yield server


async def send(server: ConversationServer, conversation: str, query: str = "", **options) -> httpx.Response:
    options = options or {"files": {"file": ("long.wav", large_file())}, "data": {"language": "en"}}
    return await server.http.post(f"/conversations/{conversation}/audio{query}", **options)


async def finished(server: ConversationServer, job: str, seconds: float = 60) -> dict:
    async def is_finished() -> bool:
        return (await server.http.get(f"/jobs/{job}")).json()["state"] in ("done", "failed")

    await until(is_finished, seconds=seconds)
    return dict((await server.http.get(f"/jobs/{job}")).json())


async def test_large_file_becomes_a_job_that_appends_what_is_said_and_the_reply(url):
    """The recording has the job's id; the field behind the file counts."""
    async with serving(url) as server:
        conversation = await server.begin()
        answer = await send(server, conversation)
        job = await finished(server, answer.json()["job"])
        said, reply = await server.messages(conversation)
        recording = await server.http.get(f"/recordings/{job['id']}/manifest")

    assert answer.status_code == 202
    assert answer.json() == {"conversation": conversation, "job": job["id"]}
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["state"], job["conversation"], job["language"], job["warnings"]) == ("done", conversation, "en", [])
    assert (said["kind"], said["session"]) == ("voice", job["id"])
    assert set(said["text"].replace(WORDS, "").split()) == set()
    assert reply["text"] == "You said it. Well done."
    assert recording.json()["finals"]


async def test_recording_of_a_large_file_belongs_to_the_person_of_the_conversation(url):
    """So it is exported and deleted with the person, also where the client's key names nobody."""
    async with serving(url) as server:
        conversation = await server.begin(person="anna")
        job = await finished(server, (await send(server, conversation)).json()["job"])
        recording = (await server.http.get(f"/recordings/{job['id']}/manifest")).json()

    assert (job["state"], job["person"], recording["person"]) == ("done", "anna", "anna")


async def test_large_file_of_an_administrator_belongs_to_the_tenant_and_person_of_the_conversation(sqlite):
    """With its limits, so that it is listed, exported and deleted there."""
    async with serving(sqlite) as server:
        conversation = await server.begin(person="anna")
        sent = await send(server, conversation, headers=bearer("ops-key"), files={"file": ("long.wav", large_file())})
        job = await finished(server, sent.json()["job"])
        recording = (await server.http.get(f"/recordings/{job['id']}/manifest")).json()
        said, reply = await server.messages(conversation)

    assert (job["state"], job["tenant"], job["person"]) == ("done", "acme", "anna")
    assert (recording["tenant"], recording["person"], said["session"]) == ("acme", "anna", job["id"])
    assert reply["text"]


async def test_job_waits_while_a_session_speaks_in_the_conversation(sqlite):
    async with serving(sqlite) as server:
        conversation = await server.begin()
        await server.table.begin_session(conversation, "s1", now=datetime.now(UTC) + timedelta(hours=1))
        job = (await send(server, conversation)).json()["job"]

        async def waits() -> bool:
            found = await server.service.jobs.get(job)
            return found is not None and found.state == "queued" and found.fence > 0

        await until(waits, seconds=30)
        before = await server.messages(conversation)
        await server.table.begin_session(conversation, "s1", now=datetime(2026, 1, 1, tzinfo=UTC))
        done = await finished(server, job)
        after = await server.messages(conversation)

    assert before == []
    assert (done["state"], done["attempts"], [each["role"] for each in after]) == ("done", 1, ["user", "assistant"])


@pytest.mark.parametrize("died", ["before the reply", "after the reply"])
async def test_step_that_is_repeated_after_a_crash_appends_nothing_twice(url, died):
    async with serving(url) as server:
        conversation = await server.begin()
        done = await finished(server, (await send(server, conversation)).json()["job"])
        first = await server.messages(conversation)
        job = await server.service.jobs.get(done["id"])
        assert job is not None
        if died == "before the reply":
            job = replace(job, conversation=await server.begin(), message_id=job.message_id + 1)
            message = replace(server.chat.user_message(WORDS), id=job.message_id)
            await server.table.begin_reply(
                job.conversation, message, now=datetime(2026, 1, 1, tzinfo=UTC), until=job.due
            )
        for _ in range(2):
            await SpokenFiles(server.chat).answer(JobLease(server.service.uploads, job), ACME)
        again = await server.messages(job.conversation)

    assert [(each["role"], each["turn"]) for each in again] == [("user", 1), ("assistant", 1)]
    if died == "after the reply":
        assert again == first


async def test_job_of_a_conversation_that_is_deleted_meanwhile_is_done_and_says_so(sqlite):
    async with serving(sqlite) as server:
        conversation = await server.begin()
        await server.table.begin_session(conversation, "s1", now=datetime.now(UTC) + timedelta(hours=1))
        job = (await send(server, conversation)).json()["job"]
        await server.http.delete(f"/conversations/{conversation}")
        done = await finished(server, job)
        recording = await server.http.get(f"/recordings/{job}/manifest")

    assert done["state"] == "done"
    assert done["warnings"][0].startswith("not in the conversation")
    assert recording.status_code == 200


@dataclass
class FailingGenerator(ScriptedGenerator):
    async def reply(self, conversation):
        raise ProviderDown("openai", "connection refused")
        yield ""


async def test_message_whose_reply_fails_stays_and_the_job_says_so(sqlite):
    async with serving(sqlite, generator=FailingGenerator()) as server:
        conversation = await server.begin()
        done = await finished(server, (await send(server, conversation)).json()["job"])
        messages = await server.messages(conversation)

    assert done["state"] == "done"
    assert done["warnings"] == ["no reply, or not all of it: openai: connection refused"]
    assert [each["role"] for each in messages] == ["user"]


async def test_large_file_needs_the_scope_transcribe(sqlite):
    async with AsyncExitStack() as stack:
        keys = KeyStore(await stack.enter_async_context(open_database(sqlite)))
        await keys.load()
        secret, _ = await keys.create("app", "acme", frozenset({Scope.CHAT}), None)
        authenticator = AnyOf([DatabaseKeys(keys)])
        server = await stack.enter_async_context(serving(sqlite, tenants=None, authenticator=authenticator))
        server.http.headers.update(bearer(secret))
        conversation = await server.begin()
        answer = await send(server, conversation)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "transcribe" in answer.json()["message"]


@pytest.mark.parametrize(
    ("query", "limits", "is_recorded", "status", "code"),
    [
        ("?profile=pirate", UploadLimits(), True, 404, "unknown_profile"),
        ("", UploadLimits(max_bytes=MAX_BYTES), True, 413, "frame_too_large"),
        ("", UploadLimits(), False, 413, "frame_too_large"),
    ],
)
async def test_large_file_that_cannot_become_a_job_is_refused_and_leaves_nothing(
    sqlite, query, limits, is_recorded, status, code
):
    async with serving(sqlite) as server:
        server.service.uploads.limits = limits
        server.service.uploader.archive_by_default = is_recorded
        conversation = await server.begin()
        answer = await send(server, conversation, query)
        jobs = (await server.http.get("/jobs")).json()["jobs"]

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert [each for each in jobs if each["state"] != "cancelled"] == []
        assert server.service.store.blobs == {}


class LargeLink:
    async def read(self, link: str) -> AsyncGenerator[bytes, None]:
        file = large_file()
        for start in range(0, len(file), 1 << 20):
            yield file[start : start + (1 << 20)]


async def test_large_file_behind_a_link_becomes_a_job_too(sqlite):
    async with serving(sqlite, source=LargeLink()) as server:
        server.http.headers.update(bearer("ops-key"))
        conversation = await server.begin()
        answer = await send(server, conversation, json={"url": "https://drive.google.com/file/d/1234567890ab"})
        done = await finished(server, answer.json()["job"])

    assert (answer.status_code, done["state"], done["source"]) == (202, "done", "link")
