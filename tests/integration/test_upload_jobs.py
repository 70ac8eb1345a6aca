"""Accepted files: what was promised becomes a recording, whatever stops the service; or the reason can be asked for."""

import shutil
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest

from app.domain.errors import ProviderBusy, ProviderDown
from app.domain.job import EXPIRE_AFTER, INTERRUPTED, KEEP_FINISHED, MAX_CRASHES, JobState, TranscriptionJob
from app.domain.recording.subtitles import Segment
from app.domain.tenant import Tenant
from app.domain.upload_limits import UploadLimits
from app.runtime.admission import Admission
from app.runtime.ids import new_id
from app.runtime.jobs.file_blobs import FileBlobs
from app.runtime.jobs.file_uploads import FileUploads
from app.runtime.jobs.job_lease import JobLease
from app.runtime.jobs.job_store import utc_now
from app.runtime.jobs.job_sweep import JobSweep
from app.runtime.jobs.job_worker import JobWorker
from app.runtime.recording.uploader import Uploader
from storage.aes import AesCipher
from storage.encrypted import EncryptedBlobStore
from storage.session_log import open_session_log
from tests.clips import HANDS
from tests.eventually import until as until_soon
from tests.fakes import MemoryBlobStore, MemoryJobs, MemorySessionLog
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
FILE = HANDS.path.read_bytes()
HEAD = 44
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
INPUTS = Path(__file__).parents[1] / "inputs"


async def until(check) -> None:
    await until_soon(check, seconds=20)


@asynccontextmanager
async def server(*, folder=None, store=None, blocked=False, body_timeout_s=30.0, **changes):
    """A service over HTTP whose session log is in memory, or in this folder; its transcription may be blocked."""
    async with session_log_in(folder) as session_log:
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
async def session_log_in(folder):
    if folder is None:
        yield MemorySessionLog()
        return
    async with open_session_log(folder=folder, fsync="never", reserve=0) as session_log:
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
        finished = all(job.is_finished for job in service.jobs.rows.values())
        return finished and not await service.uploader.session_log.sessions()

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
async def test_reason_of_a_failed_upload_can_be_asked_for(how):
    """By the id that was promised; of the file and of a recording nothing is kept."""
    async with server() as (service, http):
        session = await send(http, how, b"this is no audio")
        failed = await job(http, session, "failed")
        manifest = await http.get(f"/recordings/{session}/manifest")
        unknown = await http.get(f"/recordings/jobs/{new_id()}")
        await until(lambda: is_cleared(service, session))
        blobs, logs = dict(service.store.blobs), dict(service.uploader.session_log.records)

    assert (failed["code"], failed["attempts"]) == ("bad_audio", 1)
    assert failed["message"]
    assert (manifest.status_code, unknown.status_code) == (404, 404)
    assert (blobs, logs, service.admission.sessions) == ({}, {}, {})


async def test_warnings_of_a_damaged_upload_are_in_its_job_and_manifest():
    async with server() as (service, http):
        session = await send(http, "wait=false", (INPUTS / "mp3-300-random-bytes-in-the-middle.mp3").read_bytes())
        before = await job(http, session, "done")
        await wait_until_stored(service)
        after = await job(http, session, "done")
        manifest = (await http.get(f"/recordings/{session}/manifest")).json()

    assert before["warnings"] == after["warnings"] == manifest["warnings"] == ["1 damaged piece was skipped"]


def copied(store: MemoryBlobStore, jobs: MemoryJobs) -> dict:
    """Blobs and jobs as they are now: what a kill at this moment leaves."""
    left = {job: replace(row, lease_until=row.lease_until and START) for job, row in jobs.rows.items()}
    parts = {job: list(parts) for job, parts in jobs.file_parts.items()}
    return {"store": MemoryBlobStore(dict(store.blobs)), "jobs": MemoryJobs(left, parts)}


@pytest.mark.parametrize("how", ["wait=false", "resumable"])
async def test_accepted_upload_survives_a_kill_in_the_middle(tmp_path, how):
    """Half of it is recorded, and stored, when the process is gone: the next one begins again and makes it whole."""
    store = MemoryBlobStore()
    async with server(folder=tmp_path / "killed", store=store, blocked=True) as (service, http):
        session = await send(http, how)
        await until(lambda: has_recorded_blobs(store, 3))
        shutil.copytree(tmp_path / "killed", tmp_path / "next")
        left = copied(store, service.jobs)

    async with server(folder=tmp_path / "next", **left) as (service, http):
        await assert_recorded_whole(service, http, session)


@pytest.mark.parametrize("how", ["wait=false", "resumable"])
async def test_accepted_upload_survives_the_loss_of_the_process_and_its_disk(how):
    """Another process, with nothing but the database and the store, makes the recording."""
    async with server(max_sessions=0) as (service, http):
        session = await send(http, how)
        left = copied(service.store, service.jobs)

    async with server(**left) as (service, http):
        await assert_recorded_whole(service, http, session)


async def has_recorded_blobs(store, number: int) -> bool:
    return sum(not key.startswith("uploads/") for key in store.blobs) >= number


async def test_accepted_upload_survives_a_drain(tmp_path):
    """SIGTERM in the middle: no manifest tells of what is stored by then, and the attempt does not count."""
    store, jobs = MemoryBlobStore(), MemoryJobs()
    async with server(folder=tmp_path, store=store, jobs=jobs, blocked=True) as (service, http):
        session = await send(http, "wait=false")
        await job(http, session, "running")
    manifests = [key for key in store.blobs if key.endswith("manifest.json")]
    interrupted = jobs.rows[session]

    async with server(folder=tmp_path, store=store, jobs=jobs) as (service, http):
        await assert_recorded_whole(service, http, session)

    assert manifests == []
    assert (interrupted.state, interrupted.attempts, interrupted.lease_until) == (JobState.QUEUED, 0, None)


async def test_unfinished_upload_is_continued_on_another_process():
    async with server() as (service, http):
        begun = await http.post("/recordings/uploads?language=de", headers={"Upload-Length": str(len(FILE))})
        where = begun.headers["location"]
        await http.patch(where, headers={"Upload-Offset": "0"}, content=FILE[:10_000])
        left = copied(service.store, service.jobs)

    async with server(**left) as (service, http):
        offset = (await http.head(where)).headers["upload-offset"]
        language = next(iter(service.jobs.rows.values())).language
        answer = await http.patch(where, headers={"Upload-Offset": offset}, content=FILE[10_000:])
        await assert_recorded_whole(service, http, answer.headers["parley-recording"])

    assert (offset, language) == ("10000", "de")


async def test_a_language_that_is_none_is_refused_before_the_file_is_read():
    """Of a resumable upload at its creation."""
    async with server() as (service, http):
        begun = await http.post("/recordings/uploads?language=xx", headers={"Upload-Length": str(len(FILE))})
        whole = await http.post("/recordings?language=Klingon", content=FILE)
        rows = len(service.jobs.rows)

    assert [(each.status_code, each.json()["code"]) for each in (begun, whole)] == [(400, "unknown_language")] * 2
    assert rows == 0


async def test_upload_that_nobody_was_promised_leaves_nothing_after_a_kill(tmp_path):
    """Its sender waited for the answer and got none: it will send the file again."""
    store = MemoryBlobStore()
    async with server(folder=tmp_path / "killed", store=store, blocked=True) as (service, http):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: http.post("/recordings", content=FILE))
            await until(lambda: has_recorded_blobs(store, 3))
            shutil.copytree(tmp_path / "killed", tmp_path / "next")
            left = copied(store, service.jobs)
            service.batch_transcriber.transcriber.go.set()
        (session,) = left["jobs"].rows

    async with server(folder=tmp_path / "next", **left) as (service, http):
        await until(lambda: is_empty(left["store"]))

    assert (left["jobs"].rows[session].state, left["jobs"].rows[session].code) == (JobState.FAILED, INTERRUPTED)


async def is_empty(store) -> bool:
    return not store.blobs


async def is_cleared(service, session: str) -> bool:
    return not service.jobs.rows[session].has_remains


@pytest.mark.parametrize(("crashes", "state"), [(MAX_CRASHES - 1, "failed"), (MAX_CRASHES - 2, "done")])
async def test_upload_that_kills_the_service_again_and_again_is_given_up(crashes, state):
    """After twenty attempts that ended with the process; these are no attempts that ended in an error."""
    session, jobs, store = new_id(), MemoryJobs(), MemoryBlobStore()
    moments = {"created": START, "updated": START, "due": START, "lease_until": START - timedelta(days=1)}
    file = FILE
    row = TranscriptionJob(
        session, "default", **moments, state=JobState.RUNNING, received=len(file), attempts=1, fence=1, crashes=crashes
    )
    await jobs.add(row, lambda _: None, [await FileBlobs(store).put(session, 0, file)])
    async with server(jobs=jobs, store=store) as (_, http):
        ended = await job(http, session, state)

    assert ended.get("code") == ("given_up" if state == "failed" else None)
    assert (jobs.rows[session].attempts, jobs.rows[session].crashes) == (1, crashes + 1)


async def test_jobs_in_which_a_process_died_run_one_at_a_time_beside_others():
    """So a file that kills the process takes another one with it once, and not at each of its attempts."""
    files, running, ends = files_at(Clock()), list[str](), dict[str, anyio.Event]()
    ids = dict(zip(("poison", "neighbour", "fresh"), sorted(new_id() for _ in range(3)), strict=True))
    for name, session in ids.items():
        moments = {"created": START, "updated": START, "due": START}
        crashes = 0 if name == "fresh" else 1
        row = TranscriptionJob(session, f"of {name}", **moments, state=JobState.QUEUED, fence=crashes, crashes=crashes)
        await files.jobs.add(row, lambda _: None)
        ends[session] = anyio.Event()

    async def transcribe(lease: JobLease, _: Tenant) -> list[Segment]:
        running.append(lease.job.id)
        await ends[lease.job.id].wait()
        return []

    async def runs(names: set[str]) -> bool:
        now = {session for session in running if not files.jobs.rows[session].is_finished}
        return now == {ids[name] for name in names}

    worker = JobWorker(files, Admission(10), Tenant, transcribe, poll_s=0.01)
    async with anyio.create_task_group() as tasks:
        for work in worker.tasks().values():
            tasks.start_soon(work)
        await until(lambda: runs({"poison", "fresh"}))
        await anyio.sleep(0.05)  # five looks for more
        beside = list(running)
        ends[ids["poison"]].set()
        await until(lambda: runs({"neighbour", "fresh"}))
        tasks.cancel_scope.cancel()

    assert beside == [ids["poison"], ids["fresh"]]


async def test_upload_is_tried_again_where_the_engine_is_busy():
    async with server() as (service, http):
        transcriber = service.batch_transcriber.transcriber
        transcriber.error = ProviderBusy("local", "asked to fail")
        session = await send(http, "wait=false")
        await until(lambda: was_asked(transcriber))
        transcriber.error = None
        row = service.jobs.rows[session]
        service.jobs.rows[session] = replace(row, due=START)  # instead of a pause of two seconds
        service.uploads.notify()
        await assert_recorded_whole(service, http, session)


async def was_asked(transcriber) -> bool:
    return transcriber.closed > 0


@pytest.mark.parametrize("damage", ["lost", "cut"])
async def test_file_damaged_in_the_store_fails(damage):
    async with server(max_sessions=0) as (service, http):
        session = await send(http, "wait=false")
        (key,) = (key for key in service.store.blobs if key.startswith("uploads/"))
        if damage == "lost":
            del service.store.blobs[key]
        else:
            service.store.blobs[key] = FILE[:-1]
        service.admission.max_sessions = 4
        service.uploads.notify()
        failed = await job(http, session, "failed")

    assert failed["code"] == "unreadable"


async def test_queued_upload_can_be_deleted_as_a_recording():
    """A running one cannot; it can be cancelled."""
    async with server(max_sessions=0) as (service, http):
        session = await send(http, "wait=false")
        queued = await http.delete(f"/recordings/{session}?receipt=true")
        kept = (service.jobs.rows.copy(), service.store.recorded)
        gone = await http.get(f"/recordings/jobs/{session}")
        service.batch_transcriber.transcriber.go = anyio.Event()
        service.admission.max_sessions = 4
        other = await send(http, "wait=false")
        await job(http, other, "running")
        running = await http.delete(f"/recordings/{other}")

    assert (queued.status_code, queued.json()["deleted"]["uploads"], kept, gone.status_code) == (200, 1, ({}, {}), 404)
    assert (running.status_code, running.json()["code"]) == (409, "still_live")
    assert f"DELETE /jobs/{other}" in running.json()["message"]


@pytest.mark.parametrize("is_running", [False, True])
async def test_cancelled_job_leaves_its_row_alone(is_running):
    """Whether it waits or runs; a week later the row goes, too."""
    async with server(max_sessions=4 if is_running else 0, blocked=True, lease_s=0.3) as (service, http):
        session = await send(http, "wait=false")
        await job(http, session, "running" if is_running else "queued")
        cancelled = await http.delete(f"/jobs/{session}")
        again = await http.delete(f"/jobs/{session}")
        await until(lambda: is_left_by_workers(service))
        blobs, logs = service.store.recorded, dict(service.uploader.session_log.records)
        old = await http.get(f"/recordings/jobs/{session}")

    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert again.json() == cancelled.json()
    assert old.json() == {"id": session, "state": "cancelled", "attempts": int(is_running)}
    assert (blobs, logs, service.admission.sessions) == ({}, {}, {})


async def is_left_by_workers(service) -> bool:
    return not (service.admission.sessions or service.uploader.held_sessions)


async def test_worker_that_lost_its_lease_publishes_nothing():
    """Another process has taken the job since; what this one made of it is dropped, and the row stays as it is."""
    async with server(blocked=True, lease_s=30.0) as (service, http):
        session = await send(http, "wait=false")
        await job(http, session, "running")
        later = service.uploads.now() + timedelta(minutes=1)
        taken = service.jobs.rows[session].take("another", later, service.uploads.now())
        service.jobs.rows[session] = taken
        service.batch_transcriber.transcriber.go.set()
        await until(lambda: is_left_by_workers(service))
        manifests = [key for key in service.store.blobs if key.endswith("manifest.json")]
        parts = [key for key in service.store.blobs if key.startswith("uploads/")]

    assert (manifests, len(parts)) == ([], 1)
    assert service.jobs.rows[session] == taken
    assert service.uploader.session_log.records == {}


async def test_recording_that_an_attempt_stored_whole_before_it_died_is_not_made_again():
    """It died between the manifest and the row: the next one finds the manifest, and says that the job is done."""
    async with server() as (service, http):
        session = await send(http, "wait=false")
        await job(http, session, "done")
        finals = service.batch_transcriber.transcriber.finals
        manifest = (await http.get(f"/recordings/{session}/manifest")).content
        row = replace(service.jobs.rows[session], state=JobState.RUNNING, finished=None, lease_until=START)
        service.jobs.rows[session] = row
        service.uploads.notify()
        await job(http, session, "done")

    assert service.batch_transcriber.transcriber.finals == finals == 1
    assert (service.jobs.rows[session].fence, manifest) == (row.fence + 1, await stored_bytes(service, session))


async def stored_bytes(service, session: str) -> bytes:
    return next(blob for key, blob in service.store.blobs.items() if session in key and key.endswith("manifest.json"))


async def test_lease_is_renewed_while_the_job_runs():
    async with server(blocked=True, lease_s=0.3) as (service, http):
        session = await send(http, "wait=false")
        await job(http, session, "running")
        first = service.jobs.rows[session].lease_until

        async def is_renewed() -> bool:
            return service.jobs.rows[session].lease_until > first + timedelta(seconds=0.3)

        await until(is_renewed)
        service.batch_transcriber.transcriber.go.set()
        done = await job(http, session, "done")

    assert done["warnings"] == []
    assert (service.jobs.rows[session].attempts, service.jobs.rows[session].fence) == (1, 1)


async def test_lease_survives_a_database_that_is_away_for_longer():
    """Nobody else can take the job meanwhile; its end is written when the database is back."""
    async with server(blocked=True, lease_s=0.2) as (service, http):
        session = await send(http, "wait=false")
        await job(http, session, "running")
        service.jobs.error = ProviderBusy("jobs", "asked to fail")
        refused = [
            await http.post("/recordings?wait=false", content=FILE),
            await http.post("/recordings", content=FILE),
            await http.post("/recordings/uploads", headers={"Upload-Length": "10"}),
            await http.get("/jobs"),
            await http.get(f"/jobs/{session}"),
            await http.get(f"/recordings/jobs/{session}"),
        ]
        service.batch_transcriber.transcriber.go.set()
        await anyio.sleep(0.5)  # longer than the lease
        service.jobs.error = None
        await job(http, session, "done")

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(503, "provider_busy")] * 6
    assert service.batch_transcriber.transcriber.finals == 1


async def test_attempt_waits_for_a_blob_store_that_is_down():
    """It does not count against the job."""
    async with server(max_sessions=0) as (service, http):
        session = await send(http, "wait=false")
        get, service.store.get = service.store.get, failing
        service.admission.max_sessions = 4
        service.uploads.notify()
        await job(http, session, "running")
        service.store.get = get
        await assert_recorded_whole(service, http, session)

    assert service.jobs.rows[session].attempts == 1


async def test_file_is_encrypted_with_the_archive_key():
    plain = MemoryBlobStore()
    async with server(store=EncryptedBlobStore(plain, AesCipher(bytes(32))), max_sessions=0) as (service, http):
        session = await send(http, "resumable")
        stored = {key: blob for key, blob in plain.blobs.items() if key.startswith("uploads/")}
        service.admission.max_sessions = 4
        service.uploads.notify()
        await job(http, session, "done")

    assert len(stored) == 2
    assert all(FILE[at : at + 16] not in blob for blob in stored.values() for at in range(0, len(FILE) - 16, 1000))


async def test_file_that_was_accepted_before_the_archive_had_a_key_is_transcribed():
    plain, jobs = MemoryBlobStore(), MemoryJobs()
    async with server(store=plain, jobs=jobs, max_sessions=0) as (_, http):
        session = await send(http, "wait=false")
    encrypted = EncryptedBlobStore(plain, AesCipher(bytes(32)))
    await encrypted.check_keys()
    async with server(store=encrypted, jobs=jobs) as (_, http):
        await job(http, session, "done")


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


async def test_uploads_without_a_length_are_limited_in_size_while_they_come():
    async with server(max_sessions=0) as (service, http):
        service.uploads.limits = UploadLimits(per_tenant_bytes=150_000)
        await send(http, "wait=false", bytes(100_000))
        second = await http.post("/recordings?wait=false", content=bytes(100_000))

    assert (second.status_code, second.json()["code"]) == (503, "provider_busy")
    assert sum(len(blob) for blob in service.store.blobs.values()) == 100_000


async def test_uploads_of_all_tenants_take_a_part_of_the_store_only():
    async with server(max_sessions=0) as (service, http):
        service.uploads.limits = UploadLimits(total_bytes=150_000, max_bytes=150_000)
        too_large = await http.post("/recordings/uploads", headers={"Upload-Length": "150001"})
        await send(http, "wait=false", bytes(100_000))
        second = await http.post("/recordings?wait=false", content=bytes(100_000))

    assert (too_large.status_code, second.status_code) == (413, 503)
    assert sum(len(blob) for blob in service.store.blobs.values()) == 100_000


async def test_file_has_a_limited_number_of_parts(monkeypatch):
    monkeypatch.setattr("app.runtime.jobs.file_uploads.MAX_PARTS", 3)
    async with server() as (_, http):
        begun = await http.post("/recordings/uploads", headers={"Upload-Length": "10"})
        answers = [
            await http.patch(begun.headers["location"], headers={"Upload-Offset": str(at)}, content=b"x")
            for at in range(4)
        ]

    assert [answer.status_code for answer in answers] == [204, 204, 204, 413]


@dataclass
class Clock:
    """A clock on the wall that is set by hand."""

    time: datetime = START

    def now(self) -> datetime:
        return self.time


def files_at(clock: Clock) -> FileUploads:
    uploader = Uploader(MemorySessionLog(), MemoryBlobStore())
    return FileUploads(MemoryJobs(), FileBlobs(uploader.store), uploader, now=clock.now)


async def test_expired_uploads_and_finished_jobs_are_swept():
    """A day without a byte; a week behind the end. Neither sooner."""
    clock = Clock()
    files = files_at(clock)
    unfinished = await files.open(new_id(), "default", length=10, language=None)
    await files.append(unfinished, 0, pieces(b"five!"))
    failed = await files.open(new_id(), "default", length=5, language=None)
    await files.append(failed, 0, pieces(b"five!"))
    await files.jobs.change(failed.id, lambda job: job.fail("bad_audio", "asked to fail", clock.now()))
    blobs = files.uploader.store.blobs

    kept = []
    for passed in (EXPIRE_AFTER, timedelta(seconds=1), KEEP_FINISHED):
        clock.time += passed
        await JobSweep(files).sweep()
        kept.append(([*files.jobs.rows], sorted({key.split("/")[1] for key in blobs})))

    assert kept == [([unfinished.id, failed.id], [unfinished.id]), ([failed.id], []), ([], [])]


async def pieces(*given: bytes):
    for piece in given:
        yield piece


async def test_upload_whose_process_died_while_it_received_is_interrupted_by_the_sweep():
    """Not before its lease has run out."""
    clock = Clock()
    files = files_at(clock)
    upload = await files.open(new_id(), "default", length=None, language=None)
    await files.append(upload, 0, pieces(b"five!"))

    states = []
    for passed in (29, 1):
        clock.time += timedelta(seconds=passed)
        await JobSweep(files).sweep()
        states.append((files.jobs.rows[upload.id].state, len(files.uploader.store.blobs)))

    assert states == [(JobState.RECEIVING, 1), (JobState.FAILED, 0)]


async def test_lease_of_an_upload_that_is_being_received_is_renewed():
    files = files_at(Clock())
    files.now, files.lease_s = utc_now, 0.3
    upload = await files.open(new_id(), "default", length=None, language=None)
    async with JobLease(files, upload).kept():
        for _ in range(10):
            await anyio.sleep(0.05)
            await JobSweep(files).sweep()

    assert files.jobs.rows[upload.id].state is JobState.RECEIVING


async def test_remains_of_a_failed_upload_are_deleted_when_the_store_is_back():
    clock, files = Clock(), files_at(Clock())
    store = files.uploader.store
    upload = await files.open(new_id(), "default", length=5, language=None)
    await files.append(upload, 0, pieces(b"five!"))
    folder = await files.uploader.recordings.folder(upload.id)
    store.blobs[f"{folder}/000000000000.flac"] = b"half"
    taken = await files.jobs.take("me", ["default"], clock.now(), clock.now())
    await files.jobs.change(taken.id, lambda job: job.fail("bad_audio", "asked to fail", clock.now()))
    delete, store.delete = store.delete, failing
    await JobSweep(files).sweep()
    left = dict(store.blobs)
    store.delete = delete
    await JobSweep(files).sweep()

    assert len(left) == 2
    assert (store.blobs, files.jobs.rows[upload.id].has_remains) == ({}, False)


async def test_blobs_that_no_unfinished_job_has_are_swept():
    """Of a job that is finished at once; of one that no row tells of a week later: it may be another database's."""
    clock = Clock()
    files = files_at(clock)
    files.now = clock.now
    clock.time = utc_now()
    unfinished = await files.open(new_id(), "default", length=10, language=None)
    finished = await files.open(new_id(), "default", length=10, language=None)
    await files.jobs.change(finished.id, lambda job: job.cancel(clock.now()).clear())
    unknown = new_id()
    for session in (unfinished.id, finished.id, unknown):
        await files.blobs.put(session, 0, b"part")

    kept = []
    for passed in (timedelta(), KEEP_FINISHED + timedelta(minutes=1)):
        clock.time += passed
        await JobSweep(files).sweep_blobs()
        kept.append(await files.blobs.jobs())

    assert kept == [{unfinished.id, unknown}, {unfinished.id}]


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
        left = (service.jobs.rows, service.store.blobs)

    assert answers[0].startswith(b"HTTP/1.1 408")
    assert b"body_too_slow" in answers[0]
    assert slots == {}
    assert left == ({}, {})


async def test_upload_whose_sender_left_while_it_waited_is_cancelled_and_its_place_is_free():
    async with server(blocked=True) as (service, http):

        async def is_transcribed() -> bool:
            return any(job.state is JobState.RUNNING for job in service.jobs.rows.values())

        async def is_forgotten() -> bool:
            return (service.admission.sessions, service.jobs.rows, service.store.blobs) == ({}, {}, {})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(http.post, "/recordings", content=FILE))
            await until(is_transcribed)
            places = len(service.admission.sessions)
            tasks.cancel_scope.cancel()
        await until(is_forgotten)

    assert places == 1
    assert service.uploader.session_log.records == {}


async def is_receiving(service) -> bool:
    return any(job.state is JobState.RECEIVING for job in service.jobs.rows.values())


async def test_resumable_upload_that_stalls_keeps_what_came():
    async with server(body_timeout_s=0.5) as (_, http):
        begun = await http.post("/recordings/uploads", headers={"Upload-Length": "1000"})
        where = begun.headers["location"]
        answer = await slow_request(http, f"PATCH {where}", 3, 0)
        offset = (await http.head(where)).headers["upload-offset"]

    assert b"body_too_slow" in answer
    assert offset == "3"
