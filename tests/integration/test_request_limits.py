"""Requests to the archive: bounded, and never in the way of sessions."""

import io
import tempfile
import wave
from contextlib import asynccontextmanager, suppress

import anyio
import httpx
import pytest
from anyio import to_thread

from app.domain.errors import ProviderBusy
from app.media.decode import decode_trusted
from app.media.encode import encode
from app.runtime.request_limits import RENDERED_FILES, RENDERINGS, WAITING_RENDERINGS
from app.web.request_body import MAX_BODY_BYTES
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 60
HEAD = 44


@asynccontextmanager
async def recorded(drain_seconds: int = 5):
    """A service over HTTP, and the id of a recording of TURN in it."""
    service = scripted_service()
    service.uploader.chunk_ms = 500
    async with (
        served(service, drain_seconds=drain_seconds) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http,
    ):
        session = await speak(http)
        await until(lambda: is_uploaded(service))
        yield service, http, session


async def speak(http) -> str:
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        return talk.messages("session")[0].message["id"]


async def is_uploaded(service) -> bool:
    return not (service.admission.sessions or service.uploader.session_log.records)


async def is_busy(service) -> bool:
    return service.uploader.read_threads.statistics().tasks_waiting >= 4


def audio_keys(service) -> list[str]:
    return sorted(key for key in service.store.blobs if key.endswith(".flac") and "/replies/" not in key)


@asynccontextmanager
async def busy_threads(service):
    """Every thread that may read recordings is busy."""
    limiter, owners = service.uploader.read_threads, [object() for _ in range(8)]
    for owner in owners:
        await limiter.acquire_on_behalf_of(owner)
    try:
        yield
    finally:
        for owner in owners:
            limiter.release_on_behalf_of(owner)


async def test_session_gets_its_final_while_sixty_renderings_wait_for_threads():
    """Engines use the default thread limiter; renderings have one of their own."""
    async with recorded() as (service, http, session), anyio.create_task_group() as tasks:
        answers = []

        async def download() -> None:
            answers.append((await http.get(f"/recordings/{session}/audio?format=flac")).status_code)

        async with busy_threads(service):
            for _ in range(60):
                tasks.start_soon(download)
            await until(lambda: is_busy(service))
            with anyio.fail_after(1):
                await to_thread.run_sync(lambda: None)
            with anyio.fail_after(5):
                await speak(http)
            before = list(answers)

    assert before == []
    assert answers == [200] * 60


async def test_renderings_beyond_the_queue_are_refused_with_retry_after():
    async with recorded() as (service, http, session):
        service.limits.renderings.pending = RENDERINGS + WAITING_RENDERINGS

        refused = await http.get(f"/recordings/{session}/audio?format=mp3")
        wav = await http.get(f"/recordings/{session}/audio")

    assert (refused.status_code, refused.json()["code"]) == (503, "provider_busy")
    assert int(refused.headers["retry-after"]) >= 1
    assert wav.status_code == 200


async def test_renderings_that_nobody_reads_are_bounded():
    """Each is a file on the disk for as long as its client likes; one that is closed makes room."""
    async with recorded() as (service, http, session):
        unread = [tempfile.TemporaryFile() for _ in range(RENDERED_FILES)]  # noqa: SIM115 because they are closed below
        for number, file in enumerate(unread):
            service.limits.track_rendered_file(file, f"tenant {number % 2}")

        refused = await http.get(f"/recordings/{session}/audio?format=mp3")
        for file in unread:
            file.close()
        answers = [(await http.get(f"/recordings/{session}/audio?format=mp3")).status_code for _ in range(2)]

    assert (refused.status_code, refused.json()["code"]) == (503, "provider_busy")
    assert answers == [200, 200]
    assert [file for file in service.limits.rendered_files if not file.closed] == []


async def test_downloads_of_one_tenant_leave_places_for_others():
    async with recorded() as (service, http, session):
        unread = [tempfile.TemporaryFile() for _ in range(RENDERED_FILES // 2)]  # noqa: SIM115 because they are closed below
        for file in unread:
            service.limits.track_rendered_file(file, "greedy")
        with tempfile.TemporaryFile() as further, pytest.raises(ProviderBusy):
            service.limits.track_rendered_file(further, "greedy")

        other = await http.get(f"/recordings/{session}/audio?format=mp3")
        for file in unread:
            file.close()

    assert other.status_code == 200


async def test_server_ends_while_renderings_wait():
    """SIGTERM does the same: after the drain they are cut off, and no thread keeps the process."""
    ended = anyio.Event()
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks, recorded(drain_seconds=1) as (service, http, session):
            waiting = anyio.Event()

            async def wait_for_ever(key: str) -> bytes:
                waiting.set()
                await anyio.sleep_forever()

            async def download() -> None:
                with suppress(httpx.HTTPError):
                    await http.get(f"/recordings/{session}/audio?format=flac")
                ended.set()

            manifest = service.store.get
            service.store.get = lambda key: manifest(key) if key.endswith(".json") else wait_for_ever(key)
            tasks.start_soon(download)
            await waiting.wait()

    assert ended.is_set()


@pytest.mark.parametrize("damage", ["missing", "empty", "another chunk's"])
async def test_lost_chunk_is_silence_of_its_length_and_is_named(damage):
    """The download is never cut off: 0.5 s of silence from 0.5 s on, in FLAC and in WAV."""
    async with recorded() as (service, http, session):
        key = audio_keys(service)[1]
        match damage:
            case "missing":
                del service.store.blobs[key]
            case "empty":
                service.store.blobs[key] = b""
            case _:
                service.store.blobs[key] = encode(b"\3\0" * 8000, "flac")

        wav = await http.get(f"/recordings/{session}/audio")
        flac = await http.get(f"/recordings/{session}/audio?format=flac")
        part = await http.get(f"/recordings/{session}/audio?format=flac&start=0.6&end=0.8")
        intact = await http.get(f"/recordings/{session}/audio?format=flac&start=1")

    expected = TURN[:16_000] + bytes(16_000) + TURN[32_000:]
    assert wav.content[HEAD:] == expected
    assert b"".join(decode_trusted(io.BytesIO(flac.content))) == expected
    assert flac.headers["parley-lost"] == "0.5-1"
    assert part.headers["parley-lost"] == "0.6-0.8"
    assert "parley-lost" not in intact.headers
    assert wav.headers.get("parley-lost") == ("0.5-1" if damage == "missing" else None)


async def test_damaged_reply_is_unreadable():
    """Its SHA-256 is checked too; there is nothing around it to keep."""
    async with recorded() as (service, http, session):
        (key,) = [key for key in service.store.blobs if "/replies/" in key]
        service.store.blobs[key] = encode(b"\3\0" * 3200, "flac")

        answer = await http.get(f"/recordings/{session}/replies/1/audio")

    assert (answer.status_code, answer.json()["code"]) == (502, "unreadable")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_what_is_no_session_id_never_lists_the_index(method):
    """Nor does the id of an absent session: the operator pays for each listing."""
    async with recorded() as (service, http, _):

        def listing(prefix: str = ""):
            raise AssertionError(f"listed {prefix}")

        keys, service.store.keys = service.store.keys, listing
        suffix = "/manifest" if method == "GET" else ""
        answers = [
            await http.request(method, f"/recordings/{session}{suffix}")
            for session in ("x", "no-such", "0" * 32, f"{'0' * 12}7{'0' * 19}", "f" * 32)
        ]
        service.store.keys = keys

    assert [answer.status_code for answer in answers] == [404] * 5


async def test_listings_beyond_the_queue_are_refused():
    async with recorded() as (service, http, _):
        service.limits.listings.pending = 1000

        refused = await http.get("/recordings")

    assert (refused.status_code, refused.json()["code"]) == (503, "provider_busy")


async def in_pieces(size: int):
    """A body whose length is not announced."""
    for _ in range(size // 1024):
        yield b" " * 1024


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "in pieces"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat"),
        ("POST", "/conversations"),
        ("POST", "/conversations/x/messages"),
        ("PATCH", "/conversations/x"),
        ("POST", "/admin/keys"),
    ],
)
async def test_json_body_that_is_too_large_is_refused_with_413(method, path, is_announced):
    size = MAX_BODY_BYTES + 1024
    body = b" " * size if is_announced else in_pieces(size)
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answer = await http.request(method, path, content=body)

    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


async def test_json_body_of_the_largest_size_is_read():
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answer = await http.post("/chat", content=b" " * MAX_BODY_BYTES)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


async def test_files_may_be_larger_than_json():
    """In one request, and in parts."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000 * 20))
    wav = out.getvalue()
    assert len(wav) > MAX_BODY_BYTES
    async with served(scripted_service()) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        whole = await http.post("/recordings", content=wav)
        upload = await http.post("/recordings/uploads", headers={"Upload-Length": str(len(wav))})
        part = await http.patch(
            upload.headers["location"],
            content=wav,
            headers={"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
        )

    assert (whole.status_code, upload.status_code, part.status_code) == (201, 201, 204)
    assert upload.headers["location"] == f"/recordings/uploads/{upload.json()['id']}"
