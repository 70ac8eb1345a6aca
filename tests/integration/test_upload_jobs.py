"""Accepted files: what was promised becomes a recording, whatever stops the service; or the reason can be asked for."""

import shutil
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx
import msgspec
import pytest

from app.domain.errors import ProviderBusy, ProviderDown
from app.runtime.ids import new_id
from app.runtime.recording import file_upload as fu
from app.runtime.recording.file_uploads import EXPIRE_AFTER_S, KEEP_FAILURE_S, FileUploads, UploadLimits
from app.runtime.recording.uploader import Uploader
from storage.aes import AesCipher
from storage.session_log import open_session_log
from tests.clips import HANDS
from tests.eventually import until as until_soon
from tests.fakes import EagerClock, MemoryBlobStore, MemorySessionLog
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
FILE = HANDS.path.read_bytes()
HEAD = 44
INPUTS = Path(__file__).parents[1] / "inputs"


async def until(check) -> None:
    await until_soon(check, seconds=20)


@asynccontextmanager
async def server(*, folder=None, store=None, cipher=None, blocked=False, body_timeout_s=30.0, **changes):
    """A service over HTTP whose session log is in memory, or in this folder; its transcription may be blocked."""
    async with session_log_in(folder, cipher) as session_log:
        store = MemoryBlobStore() if store is None else store
        service = scripted_service(uploader=Uploader(session_log, store, chunk_ms=500), **changes)
        if blocked:
            service.batch_transcriber.transcriber.go = anyio.Event()
        async with (
            served(service, drain_seconds=1, body_timeout_s=body_timeout_s) as address,
            httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http,
        ):
            yield service, http


@asynccontextmanager
async def session_log_in(folder, cipher):
    if folder is None:
        yield MemorySessionLog()
        return
    async with open_session_log(folder=folder, fsync="never", reserve=0, cipher=cipher) as session_log:
        yield session_log


async def send(http, how: str, content: bytes = FILE) -> str:
    """The id of the accepted file: sent at once, or resumable in two pieces."""
    if how == "wait=false":
        answer = await http.post("/recordings?wait=false", content=content)
        assert (answer.status_code, answer.headers["location"]) == (202, f"/recordings/jobs/{answer.json()['id']}")
        return answer.json()["id"]
    begun = await http.post("/recordings/uploads", headers={"Upload-Length": str(len(content))})
    half = len(content) // 2
    for first, last in ((0, half), (half, len(content))):
        where, offset = begun.headers["location"], {"Upload-Offset": str(first)}
        answer = await http.patch(where, headers=offset, content=content[first:last])
        assert answer.status_code in (204, 409)
        if "parley-recording" in answer.headers:
            break
    return answer.headers["parley-recording"]


async def job(http, session: str, state: str) -> dict:
    """The job, once it has this state."""
    found = {}

    async def has_state() -> bool:
        found.clear()
        found.update((await http.get(f"/recordings/jobs/{session}")).json())
        return found.get("state") == state

    await until(has_state)
    return found


async def wait_until_stored(service) -> None:
    async def is_stored() -> bool:
        return not await service.uploader.session_log.sessions()

    await until(is_stored)


async def assert_recorded_whole(service, http, session: str) -> None:
    await wait_until_stored(service)
    manifest = (await http.get(f"/recordings/{session}/manifest")).json()
    assert (bool(manifest["ended"]), manifest["recovered"], manifest["samples"]) == (True, False, len(HANDS.pcm) // 2)
    assert [final["text"] for final in manifest["finals"] if final["text"]] == ["hello"]
    assert (await http.get(f"/recordings/{session}/audio")).content[HEAD:] == HANDS.pcm


async def test_transcribed_upload_is_done():
    async with server(blocked=True) as (service, http):
        session = await send(http, "wait=false")
        running = await job(http, session, "running")
        service.batch_transcriber.transcriber.go.set()
        done = await job(http, session, "done")
        await assert_recorded_whole(service, http, session)
        stored = await job(http, session, "done")

    assert running == {"id": session, "state": "running", "attempts": 1}
    assert done == stored == {"id": session, "state": "done", "warnings": []}


@pytest.mark.parametrize("how", ["wait=false", "resumable"])
@pytest.mark.parametrize("content", [b"this is no audio", b""])
async def test_reason_of_a_failed_upload_can_be_asked_for(how, content):
    """By the id that was promised; of the file and of a recording nothing is kept."""
    async with server() as (service, http):
        session = await send(http, how, content)
        failed = await job(http, session, "failed")
        manifest = await http.get(f"/recordings/{session}/manifest")
        unknown = await http.get(f"/recordings/jobs/{new_id()}")
        kept = [list(logs) for logs in service.uploader.session_log.records.values()]

    assert (failed["code"], failed["attempts"]) == ("bad_audio", 1)
    assert failed["message"]
    assert (manifest.status_code, unknown.status_code) == (404, 404)
    assert (service.store.blobs, kept, service.admission.sessions) == ({}, [["upload"]], {})


async def test_warnings_of_a_damaged_upload_are_in_its_job_and_manifest():
    async with server() as (service, http):
        session = await send(http, "wait=false", (INPUTS / "mp3-300-random-bytes-in-the-middle.mp3").read_bytes())
        before = await job(http, session, "done")
        await wait_until_stored(service)
        after = await job(http, session, "done")
        manifest = (await http.get(f"/recordings/{session}/manifest")).json()

    assert before["warnings"] == after["warnings"] == manifest["warnings"] == ["1 damaged piece was skipped"]


@pytest.mark.parametrize("how", ["wait=false", "resumable"])
async def test_accepted_upload_survives_a_kill_in_the_middle(tmp_path, how):
    """Half of it is recorded, and stored, when the process is gone: the next one begins again and makes it whole."""
    store = MemoryBlobStore()
    async with server(folder=tmp_path / "killed", store=store, blocked=True) as (service, http):
        session = await send(http, how)
        await until(lambda: has_blobs(store, 3))
        shutil.copytree(tmp_path / "killed", tmp_path / "next")
        left = MemoryBlobStore(dict(store.blobs))

    async with server(folder=tmp_path / "next", store=left) as (service, http):
        await assert_recorded_whole(service, http, session)


async def has_blobs(store, number: int) -> bool:
    return len(store.blobs) >= number


async def test_accepted_upload_survives_a_drain(tmp_path):
    """SIGTERM in the middle: what is stored by then is not `ended`, and the attempt does not count."""
    store = MemoryBlobStore()
    async with server(folder=tmp_path, store=store, blocked=True) as (service, http):
        session = await send(http, "wait=false")
        await job(http, session, "running")
    manifests = [msgspec.json.decode(blob) for key, blob in store.blobs.items() if key.endswith("manifest.json")]

    async with server(folder=tmp_path, store=store) as (service, http):
        attempts = service.uploads.files[session].attempts if session in service.uploads.files else 0
        await assert_recorded_whole(service, http, session)

    assert [(manifest["ended"], manifest["recovered"]) for manifest in manifests] in ([(None, False)], [])
    assert attempts <= 1


async def test_unfinished_upload_survives_a_kill(tmp_path):
    """It is continued where it was."""
    async with server(folder=tmp_path / "killed") as (service, http):
        begun = await http.post("/recordings/uploads?language=de", headers={"Upload-Length": str(len(FILE))})
        where = begun.headers["location"]
        await http.patch(where, headers={"Upload-Offset": "0"}, content=FILE[:10_000])
        shutil.copytree(tmp_path / "killed", tmp_path / "next")

    async with server(folder=tmp_path / "next") as (service, http):
        offset = (await http.head(where)).headers["upload-offset"]
        language = next(iter(service.uploads.files.values())).opened.language
        answer = await http.patch(where, headers={"Upload-Offset": offset}, content=FILE[10_000:])
        await assert_recorded_whole(service, http, answer.headers["parley-recording"])

    assert (offset, language) == ("10000", "de")


async def test_upload_that_nobody_was_promised_leaves_nothing_after_a_kill(tmp_path):
    """Its sender waited for the answer and got none: it will send the file again."""
    store = MemoryBlobStore()
    async with server(folder=tmp_path / "killed", store=store, blocked=True) as (service, http):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: http.post("/recordings", content=FILE))
            await until(lambda: has_blobs(store, 3))
            shutil.copytree(tmp_path / "killed", tmp_path / "next")
            left = MemoryBlobStore(dict(store.blobs))
            service.batch_transcriber.transcriber.go.set()
        (session,) = {key.split("/")[2] for key in left.blobs if key.startswith("sessions/")}

    async with server(folder=tmp_path / "next", store=left) as (service, http):
        failed = await job(http, session, "failed")
        await until(lambda: is_empty(left))

    assert failed["code"] == "interrupted"


async def is_empty(store) -> bool:
    return not store.blobs


async def test_upload_that_kills_the_service_is_given_up():
    """After five attempts that nobody interrupted on purpose."""
    log, session = MemorySessionLog(), new_id()
    entries = [fu.FileOpened("default", "now"), fu.FileAccepted(3, "now"), *[fu.AttemptStarted("now")] * 5]
    log.records[session] = {"upload": [fu.encode(entry) for entry in entries], "upload-000000000000": [b"abc"]}
    service = scripted_service(uploader=Uploader(log, MemoryBlobStore()))
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        failed = await job(http, session, "failed")

    assert failed["code"] == "given_up"
    assert service.batch_transcriber.transcriber.finals == 0
    assert list(log.records[session]) == ["upload"]


async def test_upload_is_tried_again_where_the_engine_is_busy():
    async with server() as (service, http):
        transcriber = service.batch_transcriber.transcriber
        transcriber.error = ProviderBusy("local", "asked to fail")
        session = await send(http, "wait=false")
        await until(lambda: was_asked(transcriber))
        transcriber.error = None
        await assert_recorded_whole(service, http, session)


async def was_asked(transcriber) -> bool:
    return transcriber.closed > 0


async def test_file_damaged_on_the_disk_fails():
    async with server(max_sessions=0) as (service, http):
        session = await send(http, "wait=false")
        service.uploader.session_log.records[session]["upload-000000000000"].pop()
        service.admission.max_sessions = 4
        failed = await job(http, session, "failed")

    assert failed["code"] == "unreadable"


async def test_queued_upload_can_be_deleted_as_a_recording():
    """A running one cannot."""
    async with server(max_sessions=0) as (service, http):
        session = await send(http, "wait=false")
        queued = await http.delete(f"/recordings/{session}")
        kept = dict(service.uploader.session_log.records)
        gone = await http.get(f"/recordings/jobs/{session}")
        service.batch_transcriber.transcriber.go = anyio.Event()
        service.admission.max_sessions = 4
        other = await send(http, "wait=false")
        await job(http, other, "running")
        running = await http.delete(f"/recordings/{other}")

    assert (queued.status_code, kept, gone.status_code) == (204, {}, 404)
    assert (running.status_code, running.json()["code"]) == (409, "still_live")


async def test_file_is_encrypted_with_the_archive_key_and_readable_by_its_owner_alone(tmp_path):
    async with server(folder=tmp_path, cipher=AesCipher(bytes(32)), max_sessions=0) as (service, http):
        await send(http, "resumable")
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
        content = b"".join(path.read_bytes() for path in files)
        size = service.uploader.status().bytes
        service.admission.max_sessions = 4
        await wait_until_stored(service)

    assert len(content) > len(FILE)
    assert b"fLaC" not in content
    assert FILE[1000:1100] not in content
    assert size == len(content)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o600}


async def test_upload_under_another_key_stays_until_its_key_is_back(tmp_path):
    """It keeps no service from starting, and is transcribed when it can be read again."""
    async with server(folder=tmp_path, cipher=AesCipher(bytes(32)), max_sessions=0) as (service, http):
        session = await send(http, "wait=false")
    async with server(folder=tmp_path, cipher=AesCipher(b"1" * 32)) as (service, http):
        health = (await http.get("/health")).status_code
        unreadable = dict(service.uploads.files)
    async with server(folder=tmp_path, cipher=AesCipher(bytes(32))) as (service, http):
        await assert_recorded_whole(service, http, session)

    assert (health, unreadable) == (200, {})


async def test_uploads_of_a_tenant_are_limited_in_number_and_size():
    """503 with a sentence; what is transcribed or deleted makes room."""
    async with server(max_sessions=0) as (service, http):
        service.uploads.limits = UploadLimits(per_tenant=3, per_tenant_bytes=1000)
        answers = [await http.post("/recordings/uploads", headers={"Upload-Length": "400"}) for _ in range(3)]
        await http.post("/recordings/uploads", headers={"Upload-Length": "1"})
        number = await http.post("/recordings/uploads", headers={"Upload-Length": "1"})
        at_once = await http.post("/recordings?wait=false", content=FILE)
        await http.delete(answers[0].headers["location"])
        again = await http.post("/recordings/uploads", headers={"Upload-Length": "400"})

    assert [answer.status_code for answer in answers] == [201, 201, 503]
    assert [(answer.status_code, answer.json()["code"]) for answer in (number, at_once)] == [(503, "provider_busy")] * 2
    assert "retry-after" in number.headers
    assert again.status_code == 201


async def test_uploads_of_all_tenants_take_a_part_of_the_disk_only():
    async with server(max_sessions=0) as (service, http):
        service.uploads.limits = UploadLimits(total_bytes=150_000, max_bytes=150_000)
        too_large = await http.post("/recordings/uploads", headers={"Upload-Length": "150001"})
        await send(http, "wait=false", bytes(100_000))
        second = await http.post("/recordings?wait=false", content=bytes(100_000))

    assert (too_large.status_code, second.status_code) == (413, 503)
    assert service.uploader.session_log.size_bytes < 150_000


async def test_expired_uploads_and_failures_are_swept():
    """A day without a byte; a week behind a failure. Neither sooner."""
    clock, uploader = EagerClock(), Uploader(MemorySessionLog(), MemoryBlobStore())
    files = FileUploads(uploader, now=clock.now)
    unfinished = await files.open(new_id(), "default", length=10, language=None)
    failed = await files.open(new_id(), "default", length=10, language=None)
    await files.accept(failed)
    await files.fail(failed, "bad_audio", "asked to fail")

    kept = []
    for seconds in (EXPIRE_AFTER_S - 1, 2, KEEP_FAILURE_S):
        clock.advance(seconds)
        await files.sweep()
        kept.append([upload for upload in (unfinished, failed) if upload.session in files.files])

    assert kept == [[unfinished, failed], [failed], []]
    assert uploader.session_log.records == {}
    assert uploader.held_sessions == set()


async def test_remains_of_a_failed_upload_are_deleted_when_the_store_is_back():
    store = MemoryBlobStore()
    uploader = Uploader(MemorySessionLog(), store)
    files = FileUploads(uploader)
    upload = await files.open(new_id(), "default", length=None, language=None)
    folder = await uploader.recordings.folder(upload.session)
    store.blobs[f"{folder}/000000000000.flac"] = b"half"
    delete, store.delete = store.delete, failing
    await files.fail(upload, "bad_audio", "asked to fail")
    left = dict(store.blobs)
    store.delete = delete
    await files.sweep()

    assert left
    assert store.blobs == {}


async def failing(key: str) -> None:
    raise ProviderDown("store", "asked to fail")


async def slow_request(http, head: str, pieces: int, pause_s: float) -> bytes:
    """What the server answers to a request whose body comes a byte at a time and is never whole."""
    answer = b""
    async with await anyio.connect_tcp(http.base_url.host, http.base_url.port) as stream:
        await stream.send(f"{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n".encode())
        await stream.send(b"Upload-Offset: 0\r\n\r\n")

        async def drip() -> None:
            with suppress(anyio.BrokenResourceError):
                for _ in range(pieces):
                    await stream.send(b"x")
                    await anyio.sleep(pause_s)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drip)
            with anyio.fail_after(20), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    answer += await stream.receive()
            tasks.cancel_scope.cancel()
    return answer


async def test_body_that_does_not_come_times_out_and_leaves_nothing():
    """408; no session slot is held meanwhile, and the upload's place in the quota is free again."""
    async with server(body_timeout_s=0.5) as (service, http):
        answers: list[bytes] = []

        async def stall() -> None:
            answers.append(await slow_request(http, "POST /recordings", 1, 0))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stall)
            await until(lambda: is_receiving(service))
            slots = dict(service.admission.sessions)
        left = (service.uploads.files, service.uploader.session_log.records)

    assert answers[0].startswith(b"HTTP/1.1 408")
    assert b"body_too_slow" in answers[0]
    assert slots == {}
    assert left == ({}, {})


async def is_receiving(service) -> bool:
    return any(upload.is_receiving for upload in service.uploads.files.values())


async def test_resumable_upload_that_stalls_keeps_what_came():
    async with server(body_timeout_s=0.5) as (_, http):
        begun = await http.post("/recordings/uploads", headers={"Upload-Length": "1000"})
        where = begun.headers["location"]
        answer = await slow_request(http, f"PATCH {where}", 3, 0)
        offset = (await http.head(where)).headers["upload-offset"]

    assert b"body_too_slow" in answer
    assert offset == "3"
