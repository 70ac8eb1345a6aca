"""Resumable uploads (tus): broken connections, wrong offsets, concurrent requests, full disks."""

import anyio
import httpx
import pytest

from app.domain.job import JobState
from app.domain.upload_limits import UploadLimits
from storage.filesystem import open_filesystem
from tests.clips import HANDS
from tests.eventually import until
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
FILE = HANDS.path.read_bytes()


@pytest.fixture
async def service():
    service = scripted_service()
    service.uploads.limits = UploadLimits(max_bytes=1 << 20)
    return service


@pytest.fixture
async def http(service):
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        yield client


async def create_upload(http, length: int = len(FILE)) -> str:
    answer = await http.post("/recordings/uploads", headers={"Upload-Length": str(length)})
    assert answer.status_code == 201
    return answer.headers["location"]


async def patch(http, where: str, offset: int, pieces) -> httpx.Response:
    return await http.patch(where, headers={"Upload-Offset": str(offset)}, content=pieces)


async def test_resumable_upload_in_pieces_is_one_recording(http, service):
    """Piece by piece; with the last one its id comes back, and it is archived whole."""
    where = await create_upload(http)
    for at in range(0, len(FILE), 30_000):
        answer = await patch(http, where, at, FILE[at : at + 30_000])
        assert answer.status_code == 204
        assert answer.headers["upload-offset"] == str(min(len(FILE), at + 30_000))

    session = answer.headers["parley-recording"]
    await wait_until_done(service, session)
    assert (await http.get(f"/recordings/{session}/audio")).content[44:] == HANDS.pcm
    assert [key for key in service.store.blobs if key.startswith("uploads/")] == []
    await until(lambda: has_no_logs(service))


async def test_resumable_upload_resumes_after_a_broken_connection(http, service):
    """What arrived is kept; HEAD says where to go on."""

    async def breaking():
        yield FILE[:20_000]
        raise ConnectionResetError

    where = await create_upload(http)
    with pytest.raises(ConnectionResetError):
        await patch(http, where, 0, breaking())
    await until(lambda: received_something(service))

    here = int((await http.head(where)).headers["upload-offset"])
    answer = await patch(http, where, here, FILE[here:])

    assert here <= 20_000
    assert answer.headers["upload-offset"] == str(len(FILE))
    assert answer.headers["parley-recording"]


async def test_resumable_upload_refuses_wrong_offset_length_and_name(http):
    """A wrong offset, too many bytes, a file too large, no number, a name that is none."""
    where = await create_upload(http, 10)

    assert (await patch(http, where, 5, b"x")).status_code == 409
    assert (await patch(http, where, 0, b"x" * 11)).status_code == 413
    too_large = await http.post("/recordings/uploads", headers={"Upload-Length": str(1 << 30)})
    assert too_large.status_code == 413
    assert (await http.post("/recordings/uploads")).status_code == 400
    assert (await http.head("/recordings/uploads/..%2F..%2Fetc")).status_code == 404
    assert (await http.head(f"/recordings/uploads/{'0' * 32}")).status_code == 404


async def test_resumable_upload_can_be_deleted(http, service):
    """Nothing of it stays."""
    where = await create_upload(http)
    await patch(http, where, 0, FILE[:1000])

    assert (await http.delete(where)).status_code == 204
    assert (service.jobs.rows, service.store.blobs, service.uploader.session_log.records) == ({}, {}, {})


async def test_resumable_upload_completed_twice_is_one_recording(http, service):
    """Two empty PATCHes at the end, at the same time: one of them is accepted."""
    where = await create_upload(http)
    service.uploader.session_log.has_space = False
    full = await patch(http, where, 0, FILE)
    service.uploader.session_log.has_space = True
    await patch(http, where, 0, FILE[:-1])
    answers = []

    async def finish() -> None:
        answers.append(await patch(http, where, len(FILE) - 1, FILE[-1:]))

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(finish)
    await wait_until_done(service, where.rpartition("/")[2])

    assert full.status_code == 503
    assert sorted(answer.status_code for answer in answers) in ([204, 404], [204, 409])
    assert sum("parley-recording" in answer.headers for answer in answers) == 1
    assert service.admission.sessions == {}


async def test_resumable_upload_on_a_full_server_waits_for_a_slot(http, service):
    """It is accepted, and transcribed when a session has ended."""
    service.admission.max_sessions = 0
    where = await create_upload(http)
    answer = await patch(http, where, 0, FILE)
    job = f"/recordings/jobs/{answer.headers['parley-recording']}"
    queued = (await http.get(job)).json()
    head = await http.head(where)
    service.admission.max_sessions = 4
    service.uploads.notify()
    await wait_until_done(service, queued["id"])

    assert answer.status_code == 204
    assert queued["state"] == "queued"
    assert (head.headers["upload-offset"], head.headers["parley-recording"]) == (str(len(FILE)), queued["id"])
    assert (await http.get(job)).json() == {"id": queued["id"], "state": "done", "warnings": []}


async def test_resumable_upload_deleted_while_it_is_sent_is_not_found(http, service):
    """The rest of the PATCH does not bring the file back with a hole at its beginning."""
    where = await create_upload(http)

    async def deleted_on_the_way():
        yield FILE[:20_000]
        await http.delete(where)
        yield FILE[20_000:]

    answer = await patch(http, where, 0, deleted_on_the_way())

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (service.jobs.rows, service.store.blobs, service.uploader.session_log.records) == ({}, {}, {})
    assert service.admission.sessions == {}


async def test_resumable_upload_on_a_full_disk_is_provider_busy(small_disk):
    """503 in our own form; what arrived before is kept, and the upload goes on when there is room."""
    async with open_filesystem(folder=small_disk / "blobs") as store:
        service = scripted_service(store=store)
        async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
            where = await create_upload(http, 3_000_000)
            await patch(http, where, 0, bytes(100_000))
            answer = await patch(http, where, 100_000, bytes(2_000_000))
            offset = (await http.head(where)).headers["upload-offset"]
            more = await patch(http, where, 100_000, b"x")

    assert (answer.status_code, answer.json()["code"]) == (503, "provider_busy")
    assert (offset, more.status_code, more.headers["upload-offset"]) == ("100000", 204, "100001")


async def test_resumable_upload_does_not_take_the_reserve_of_the_disk(http, service):
    """Neither begins nor grows while the session log has no space; afterwards it goes on."""
    where = await create_upload(http)
    service.uploader.session_log.has_space = False
    begin = await http.post("/recordings/uploads", headers={"Upload-Length": "10"})
    grow = await patch(http, where, 0, FILE[:1000])
    service.uploader.session_log.has_space = True
    later = await patch(http, where, 0, FILE[:1000])

    assert (begin.status_code, grow.status_code, later.status_code) == (503, 503, 204)


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "١٢", "1e3", ""])
async def test_resumable_upload_refuses_an_invalid_length(http, length):
    """400, whatever Python could make of it."""
    answer = await http.post("/recordings/uploads", headers={"Upload-Length": length.encode()})

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_metadata")


async def wait_until_done(service, session: str) -> None:
    async def is_done() -> bool:
        job = await service.jobs.get(session)
        return job.state is JobState.DONE and not job.has_remains and not service.admission.sessions

    await until(is_done)


async def received_something(service) -> bool:
    return any(job.received for job in service.jobs.rows.values())


async def has_no_logs(service) -> bool:
    return not service.uploader.session_log.records


async def test_client_of_another_version_of_tus_is_refused_and_told_the_version(http):
    where, other = await create_upload(http), {"Tus-Resumable": "0.2.2"}
    answers = [
        await http.post("/recordings/uploads", headers={"Upload-Length": "9", **other}),
        await http.head(where, headers=other),
        await http.patch(where, headers={"Upload-Offset": "0", **other}, content=b"x"),
        await http.delete(where, headers=other),
    ]
    same = await http.head(where, headers={"Tus-Resumable": "1.0.0"})

    assert [(each.status_code, each.headers["tus-version"]) for each in answers] == [(412, "1.0.0")] * 4
    assert (same.status_code, same.headers["upload-offset"]) == (200, "0")


async def test_part_of_another_content_type_is_refused_and_not_stored(http):
    where = await create_upload(http)
    headers = {"Upload-Offset": "0", "Content-Type": "application/x-www-form-urlencoded"}
    answer = await http.patch(where, headers=headers, content=b"x")
    tus = await http.patch(where, headers={**headers, "Content-Type": "Application/Offset+Octet-Stream"}, content=b"x")

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert (tus.status_code, tus.headers["upload-offset"]) == (204, "1")


@pytest.mark.parametrize("query", ["", "?wait=false"])
async def test_empty_file_is_refused_before_there_is_a_job(http, service, query):
    """Of a resumable one, a client sends nothing more after its creation."""
    resumable = await http.post("/recordings/uploads", headers={"Upload-Length": "0"})
    whole = await http.post(f"/recordings{query}", content=b"")
    jobs = (await http.get("/jobs")).json()["jobs"]

    for answer in (resumable, whole):
        assert (answer.status_code, answer.json()["code"]) == (415, "bad_audio")
        assert answer.json()["message"] == "the file is empty: there is nothing to transcribe"
    assert jobs == []
