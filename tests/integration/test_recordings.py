"""The HTTP API of the archive, `/recordings`, over a real server."""

import io
import itertools
from datetime import date, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
import structlog
from anyio import to_thread

from app.domain.errors import ProviderBusy, ProviderDown
from app.domain.recording.wav import wav_header
from app.domain.upload_limits import UploadLimits
from app.media.decode import decode_trusted
from app.media.sandbox import DecodingLimits
from app.runtime.jobs.audio_decoder import AudioDecoder
from app.runtime.recording.reindexing import Reindexing
from app.runtime.recording.uploader import Uploader
from app.runtime.supervision import defects
from storage.aes import AesCipher
from storage.encrypted import EncryptedBlobStore
from storage.filesystem import open_filesystem
from storage.google_drive import open_google_drive
from storage.session_log import open_session_log
from tests.clips import HANDS
from tests.emulators.drive import Drive, serve_drive
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, MemoryBlobStore
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 60
HEAD = 44
INPUTS = Path(__file__).parents[1] / "inputs"


@pytest.fixture
async def service():
    return scripted_service()


@pytest.fixture
async def http(service):
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        yield client


async def recorded_turn(http, service, pcm: bytes = TURN) -> str:
    """The id of a session with this audio, whose recording is whole in the store."""
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        await talk.send_audio(pcm, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        session = talk.messages("session")[0].message["id"]
    await wait_until_uploaded(service)
    return session


async def wait_until_uploaded(service) -> None:
    with anyio.fail_after(5):
        while service.admission.sessions or service.uploader.session_log.records:  # noqa: ASYNC110 because the store tells nobody
            await anyio.sleep(0.005)


async def reindex(service) -> None:
    """As `parley recordings reindex` does."""
    await Reindexing(service.uploader.recordings, service.uploader.index).run()


async def pcm_of(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    return await to_thread.run_sync(lambda: b"".join(decode_trusted(io.BytesIO(answer.content))))


async def test_recorded_session_has_manifest_and_wav(http, service):
    """By the id of its first message: the manifest, and the very samples as one file."""
    session = await recorded_turn(http, service)

    manifest = (await http.get(f"/recordings/{session}/manifest")).json()
    answer = await http.get(f"/recordings/{session}/audio")

    assert manifest["session"] == session
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.content[HEAD:] == TURN
    assert await pcm_of(answer) == TURN


@pytest.mark.parametrize("keep_days", [0, 7])
async def test_manifest_says_until_when_the_recording_is_kept(http, service, keep_days):
    """As `Parley-Kept-Until`, the day itself included; without it, until somebody deletes it."""
    session = await recorded_turn(http, service)
    service.uploader.keep_days = keep_days

    answer = await http.get(f"/recordings/{session}/manifest")

    last = date.fromisoformat(answer.json()["started"][:10]) + timedelta(days=keep_days)
    assert answer.headers.get("parley-kept-until") == (last.isoformat() if keep_days else None)


@pytest.mark.parametrize("form", ["flac", "mp3"])
async def test_recording_audio_as_flac_and_mp3(http, service, form):
    """FLAC holds the very samples, MP3 as many of them."""
    session = await recorded_turn(http, service)

    pcm = await pcm_of(await http.get(f"/recordings/{session}/audio?format={form}"))

    assert pcm == TURN if form == "flac" else len(pcm) == pytest.approx(len(TURN), rel=0.05)


async def test_recording_audio_between_two_times(http, service):
    """From second to second, to the sample; beyond the end there is nothing."""
    session = await recorded_turn(http, service)

    part = await http.get(f"/recordings/{session}/audio?start=0.5&end=1.25")
    beyond = await http.get(f"/recordings/{session}/audio?start=99")
    whole = await http.get(f"/recordings/{session}/audio?end=Infinity")
    nothing = await http.get(f"/recordings/{session}/audio?start=Infinity")

    assert whole.content[HEAD:] == TURN
    assert nothing.content[HEAD:] == b""
    assert part.content[HEAD:] == TURN[2 * 8000 : 2 * 20_000]
    assert beyond.content[HEAD:] == b""


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("start=2&end=1", "start: 2 is after end, 1"),
        ("start=Infinity&end=1", "start: inf is after end, 1"),
        ("start=nan", "start: "),
        ("start=-1", "start: "),
        ("end=nan", "end: "),
        ("format=ogg", "format: "),
    ],
)
async def test_recording_audio_refuses_a_wrong_query(http, service, query, words):
    """400, and the sentence names the parameter as the client wrote it."""
    session = await recorded_turn(http, service)

    answer = await http.get(f"/recordings/{session}/audio?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert words in answer.json()["message"]


async def test_utterance_audio_names_the_parameter_format_where_it_is_wrong(http, service):
    """The same as for the whole recording."""
    session = await recorded_turn(http, service)

    answer = await http.get(f"/recordings/{session}/utterances/1/audio?format=ogg")

    assert answer.status_code == 400
    assert "format: " in answer.json()["message"]


async def test_recording_audio_from_a_time_to_the_same_time_is_empty(http, service):
    session = await recorded_turn(http, service)

    answer = await http.get(f"/recordings/{session}/audio?start=1&end=1")

    assert (answer.status_code, answer.content[HEAD:]) == (200, b"")


async def test_recording_audio_byte_ranges(http, service):
    """Any range of the wav is that range of the whole."""
    session = await recorded_turn(http, service)
    whole = (await http.get(f"/recordings/{session}/audio")).content
    size = len(whole)
    edges = [0, 1, 43, 44, 45, 1000, 1001, size - 2, size - 1]

    for first, last in itertools.combinations(edges, 2):
        part = await http.get(f"/recordings/{session}/audio", headers={"Range": f"bytes={first}-{last}"})
        assert (part.status_code, part.headers["content-range"]) == (206, f"bytes {first}-{last}/{size}")
        assert part.content == whole[first : last + 1]
    tail = await http.get(f"/recordings/{session}/audio", headers={"Range": "bytes=-7"})
    none = await http.get(f"/recordings/{session}/audio", headers={"Range": f"bytes={size}-"})
    for header in ("bytes=5-2", "bytes=2-1,7-9"):
        ignored = await http.get(f"/recordings/{session}/audio", headers={"Range": header})
        assert (ignored.status_code, ignored.content) == (200, whole), header
    huge = await http.get(f"/recordings/{session}/audio", headers={"Range": f"bytes={'9' * 5000}-"})
    assert huge.status_code == 416
    assert tail.content == whole[-7:]
    assert (none.status_code, none.headers["content-range"]) == (416, f"bytes */{size}")
    assert none.json() == {"code": "range_not_satisfiable", "message": f"the file has {size} bytes"}


async def test_utterance_and_reply_by_number(http, service):
    """The words of one utterance, its sound, and the sound of the answer."""
    session = await recorded_turn(http, service)

    words = (await http.get(f"/recordings/{session}/utterances/1")).json()
    sound = await http.get(f"/recordings/{session}/utterances/1/audio")
    reply = await http.get(f"/recordings/{session}/replies/1/audio")

    first, last = words["speech"]
    assert words["text"] == "hello"
    assert sound.content[HEAD:] == TURN[2 * first : 2 * last]
    assert len(reply.content) == HEAD + 2 * 3200
    for nothing in ("utterances/7", "utterances/7/audio", "replies/7/audio", "replies/0/audio"):
        assert (await http.get(f"/recordings/{session}/{nothing}")).status_code == 404


@pytest.mark.parametrize("before", ["", "xyz", "2026-01-31", "2026-01-31/", "2026-13-01/a", "xyz/a", "2026-01-31/a b"])
async def test_recordings_behind_no_page_of_the_list_are_refused(http, before):
    answer = await http.get("/recordings", params={"before": before})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["message"].startswith("before: ")


async def test_recordings_list_pages_and_filters(http, service):
    """The newest first; page by page each comes once; filters narrow it."""
    ids = [await recorded_turn(http, service) for _ in range(5)]

    found, before = [], ""
    while True:
        page = (await http.get(f"/recordings?limit=2{before}")).json()
        found += [recording["id"] for recording in page["recordings"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"

    assert found == ids[::-1]
    for query, count in (
        ("text=HELLO", 5),
        ("text=goodbye", 0),
        ("route=local", 5),
        ("route=cloud", 0),
        ("kind=ended", 5),
        ("kind=live", 0),
        ("since=2020-01-01&until=2020-12-31", 0),
        ("since=2020-01-01", 5),
    ):
        assert len((await http.get(f"/recordings?{query}")).json()["recordings"]) == count, query
    day = (await http.get("/recordings")).json()["recordings"][0]["started"][:10]
    assert len((await http.get(f"/recordings?since={day}&until={day}")).json()["recordings"]) == 5


@pytest.mark.parametrize("damage", [b"", b'{"x":', b'{"format":99,"session":"x"}', b"\xff\xfe"])
async def test_recordings_list_skips_and_counts_an_unreadable_manifest(http, service, damage):
    """It is left out and counted; its own page says that it is there, and the log where."""
    good, bad = await recorded_turn(http, service), await recorded_turn(http, service)
    (key,) = [key for key in service.store.blobs if key.endswith(f"{bad}/manifest.json")]
    service.store.blobs[key] = damage
    await reindex(service)

    found = (await http.get("/recordings")).json()
    with structlog.testing.capture_logs() as lines:
        page = await http.get(f"/recordings/{bad}/manifest")

    assert [recording["id"] for recording in found["recordings"]] == [good]
    assert found["unreadable"] == 1
    assert (page.status_code, page.json()["code"]) == (502, "unreadable")
    assert "manifest" not in page.json()["message"]
    assert any(line["event"] == "store failed" and key in line["message"] for line in lines)


async def test_recording_with_an_unreadable_manifest_can_be_deleted(http, service):
    """By its tenant, which the index names; for others it is not there."""
    session = await recorded_turn(http, service)
    (key,) = [key for key in service.store.blobs if key.endswith("manifest.json")]
    service.store.blobs[key] = b"damaged"
    assert await service.uploader.owner(session) == "default"

    answer = await http.delete(f"/recordings/{session}")

    assert answer.status_code == 204
    assert service.store.recorded == {}


async def test_manifest_of_a_later_format_is_unreadable(http, service):
    """A newer version wrote it, and this one would misread it."""
    session = await recorded_turn(http, service)
    (key,) = [key for key in service.store.blobs if key.endswith("manifest.json")]
    service.store.blobs[key] = service.store.blobs[key].replace(b'"format": 1', b'"format": 2')
    await reindex(service)

    assert (await http.get("/recordings")).json()["unreadable"] == 1
    assert (await http.get(f"/recordings/{session}/manifest")).json()["code"] == "unreadable"


async def test_recordings_list_skips_what_another_key_encrypted(http, service):
    """What was encrypted with another key is left out and counted."""
    plain = service.store
    service.uploader.store = EncryptedBlobStore(plain, AesCipher(bytes(32)))
    old = await recorded_turn(http, service)
    service.uploader.store = EncryptedBlobStore(plain, AesCipher(b"1" * 32))
    new = await recorded_turn(http, service)
    await reindex(service)

    found = (await http.get("/recordings")).json()

    assert [recording["id"] for recording in found["recordings"]] == [new]
    assert found["unreadable"] == 1
    assert (await http.get(f"/recordings/{old}/audio")).json()["code"] == "unreadable"


async def test_planted_unencrypted_manifest_is_unreadable(http, service):
    """Who can write to the store but has no key cannot forge what was said."""
    plain = service.store
    service.uploader.store = EncryptedBlobStore(plain, AesCipher(bytes(32)))
    session = await recorded_turn(http, service)
    (key,) = [key for key in plain.blobs if key.endswith("manifest.json")]
    plain.blobs[key] = (await service.uploader.store.get(key)).replace(b'"text": "', b'"text": "forged ')
    await reindex(service)

    answer = await http.get(f"/recordings/{session}/manifest")

    assert (answer.status_code, answer.json()["code"]) == (502, "unreadable")
    assert (await http.get("/recordings")).json()["unreadable"] == 1


async def test_manifest_that_names_blobs_of_another_recording_is_unreadable(http, service):
    """Else a forged manifest of one tenant would give it the audio of another."""
    victim, own = await recorded_turn(http, service), await recorded_turn(http, service)
    (key,) = [key for key in service.store.blobs if key.endswith("manifest.json") and own in key]
    folder = key.removesuffix("/manifest.json")
    service.store.blobs[key] = service.store.blobs[key].replace(
        f"{folder}/0".encode(), f"{folder.replace(own, victim)}/0".encode()
    )
    await reindex(service)

    for path in ("manifest", "audio"):
        assert (await http.get(f"/recordings/{own}/{path}")).json()["code"] == "unreadable"
    assert (await http.get("/recordings")).json()["unreadable"] == 1


async def test_concurrent_flac_downloads_do_not_deadlock(http, service):
    """More than the process has threads: none of them waits for a thread that waits for it."""
    session = await recorded_turn(http, service)
    answers = []

    async def download() -> None:
        answers.append((await http.get(f"/recordings/{session}/audio?format=flac")).status_code)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(60):
                tasks.start_soon(download)

    assert answers == [200] * 60


async def test_deleted_recording_is_gone(http, service):
    """With every blob; twice is not found."""
    session, other = await recorded_turn(http, service), await recorded_turn(http, service)

    first = await http.delete(f"/recordings/{session}")
    again = await http.delete(f"/recordings/{session}")

    assert (first.status_code, again.status_code) == (204, 404)
    assert not [key for key in service.store.recorded if session in key]
    assert [r["id"] for r in (await http.get("/recordings")).json()["recordings"]] == [other]


async def test_live_session_cannot_be_deleted(http, service):
    """409, and it goes on."""
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
        session = talk.messages("session")[0].message["id"]

        assert (await http.delete(f"/recordings/{session}")).status_code == 409


async def test_uploaded_file_is_transcribed_and_archived(http, service):
    """Any format: it is written down, archived, and can be heard again."""
    answer = await http.post("/recordings", content=HANDS.path.read_bytes())

    assert answer.status_code == 201
    session = answer.json()["id"]
    await wait_until_uploaded(service)
    assert (await http.get(f"/recordings/{session}/audio")).content[HEAD:] == HANDS.pcm
    manifest = (await http.get(f"/recordings/{session}/manifest")).json()
    assert manifest["ended"]
    assert [final["text"] for final in manifest["finals"] if final["text"]] == [
        s["text"] for s in answer.json()["segments"]
    ]


async def test_damaged_upload_is_transcribed_with_a_warning(http, service):
    """What is there is kept, and the answer says that something is not."""
    damaged = (INPUTS / "mp3-300-random-bytes-in-the-middle.mp3").read_bytes()

    answer = await http.post("/recordings", content=damaged)
    intact = await http.post("/recordings", content=HANDS.path.read_bytes())

    assert answer.status_code == 201
    assert answer.json()["warnings"] == ["1 damaged piece was skipped"]
    assert intact.json()["warnings"] == []


@pytest.mark.parametrize("content", [b"", wav_header(0)])
async def test_upload_without_a_sample_is_refused(http, service, content):
    """Its recording would never be in the archive."""
    answer = await http.post("/recordings", content=content)

    assert (answer.status_code, answer.json()["code"]) == (415, "bad_audio")


async def test_upload_longer_than_the_limit_is_refused_and_not_kept(http, service):
    service.decoder = AudioDecoder(DecodingLimits(longest_s=2.0))

    answer = await http.post("/recordings", content=HANDS.path.read_bytes())
    await wait_until_uploaded(service)

    assert (answer.status_code, answer.json()["code"]) == (415, "bad_audio")
    assert service.store.recorded == {}


async def test_recording_is_fetched_from_google_drive(http, service):
    """By its link; without an account that is refused."""
    refused = await http.post("/recordings?source=1AbC_dEfGhIjK-lMnOp")
    drive = Drive(files={"1AbC_dEfGhIjK-lMnOp": ("hands.flac", HANDS.path.read_bytes())})
    async with serve_drive(drive), open_google_drive(token="granted", base_url=drive.url) as service.source:
        answer = await http.post("/recordings?source=https://drive.google.com/file/d/1AbC_dEfGhIjK-lMnOp/view")
        unknown = await http.post("/recordings?source=1AbC_dEfGhIjK-none")

    assert (refused.status_code, answer.status_code, unknown.status_code) == (400, 201, 404)
    await wait_until_uploaded(service)
    assert (await http.get(f"/recordings/{answer.json()['id']}/audio")).content[HEAD:] == HANDS.pcm


async def test_upload_without_wait_is_accepted_at_once(http, service):
    """202 with the id at once; the words come later."""
    answer = await http.post("/recordings?wait=false", content=HANDS.path.read_bytes())

    assert answer.status_code == 202
    await wait_until_uploaded(service)
    manifest = (await http.get(f"/recordings/{answer.json()['id']}/manifest")).json()
    assert manifest["samples"] == len(HANDS.pcm) // 2


async def test_upload_of_no_audio_or_too_much_is_refused_and_not_kept(http, service):
    """415 for nonsense, 413 for too much, and nothing is left of either."""
    nonsense = await http.post("/recordings", content=b"this is no sound" * 1000)
    service.uploads.limits = UploadLimits(max_bytes=1000)
    too_much = await http.post("/recordings", content=HANDS.path.read_bytes())

    assert (nonsense.status_code, nonsense.json()["code"]) == (415, "bad_audio")
    assert (too_much.status_code, too_much.json()["code"]) == (413, "frame_too_large")
    assert (service.store.blobs, service.uploader.session_log.records, service.admission.sessions) == ({}, {}, {})


async def test_multipart_upload_is_refused_with_a_hint(http, service):
    """`curl -F` is a likely mistake: 415, and what to send instead."""
    answer = await http.post("/recordings", files={"file": ("hands.flac", HANDS.path.read_bytes())})

    assert (answer.status_code, answer.json()["code"]) == (415, "bad_audio")
    assert "--data-binary" in answer.json()["message"]
    assert service.admission.sessions == {}


async def test_disk_full_during_an_upload_is_provider_busy(small_disk):
    """503 in our own form, and nothing of the file stays."""
    async with open_filesystem(folder=small_disk / "blobs") as store:
        service = scripted_service(store=store)
        async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
            answer = await client.post("/recordings", content=bytes(3_000_000))

        assert (answer.status_code, answer.json()["code"]) == (503, "provider_busy")
        assert (service.admission.sessions, service.jobs.rows) == ({}, {})
        assert [key async for key in store.keys("")] == []


async def test_latin_1_tag_does_not_matter(http, service):
    """The file is transcribed as if it had none."""
    answer = await http.post("/recordings", content=(INPUTS / "wav-latin1-tag.wav").read_bytes())

    assert answer.status_code == 201


@pytest.mark.parametrize("query", ["", "?wait=false"])
async def test_defect_in_a_transcription_job_is_reported_and_releases_the_slot(http, service, query):
    """It is counted and logged with its traceback, whether or not somebody waits; nothing of the file is kept."""
    service.batch_transcriber.transcriber.error = RuntimeError("asked to fail")
    before = defects.total()

    answer = await http.post(f"/recordings{query}", content=wav_header(48_000) + SPEECH * 40 + SILENCE * 60)

    async def is_over() -> bool:
        return all(job.is_finished and not job.has_remains for job in service.jobs.rows.values())

    await until(is_over)

    assert answer.status_code == (202 if query else 500)
    assert (service.admission.sessions, service.store.blobs, service.uploader.session_log.records) == ({}, {}, {})
    assert defects.total() == before + 1
    assert [job.code for job in service.jobs.rows.values()] == (["internal_error"] if query else [])


async def test_full_disk_shows_in_health_and_refuses_sessions_until_there_is_room(small_disk):
    """Something else fills the disk: nobody is let in whose audio could not be kept."""
    filler = small_disk / "filler"
    async with open_session_log(folder=small_disk / "log") as session_log:
        service = scripted_service(uploader=Uploader(session_log, MemoryBlobStore()))
        async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
            filler.write_bytes(bytes(1_010_000))
            full = (await client.get("/health")).json()
            async with open_session(f"ws://{address}/ws/transcribe") as refused:
                await refused.wait_until(lambda t: t.closed, timeout_s=5)
            filler.unlink()
            room = (await client.get("/health")).json()
            async with open_session(f"ws://{address}/ws/transcribe") as admitted:
                assert await admitted.wait_until(lambda t: t.messages("session"), timeout_s=5)

    assert (full["status"], full["archive"]["full"]) == ("full", True)
    assert refused.closed[0] == 1013
    assert (room["status"], room["archive"]["full"]) == ("ok", False)


async def test_session_on_a_full_disk_ends_with_an_error(http, service):
    """Never with a clean close: the client is told before it is closed with 1011."""
    service.uploader.session_log.error = ProviderBusy("session log", "asked to be full")
    service.uploader.disk_timeout_s = 0.0
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        await talk.send_message(type="end")
        await talk.wait_until(lambda t: t.closed, timeout_s=5)

    assert talk.messages("ack") == []
    assert talk.messages("error")[-1].message["fatal"] is True
    assert talk.closed[0] == 1011


async def test_upload_with_a_failing_engine_leaves_nothing(http, service):
    """503, and whoever tries again begins anew."""
    service.batch_transcriber.transcriber.error = ProviderBusy("local", "asked to fail")

    answer = await http.post("/recordings", content=wav_header(48_000) + SPEECH * 40 + SILENCE * 60)
    await wait_until_uploaded(service)

    assert (answer.status_code, answer.json()["code"]) == (503, "provider_busy")
    assert (service.store.blobs, service.admission.sessions) == ({}, {})


@pytest.mark.parametrize(
    "path",
    [
        "no-such/manifest",
        "no-such/audio",
        f"{'0' * 12}7{'0' * 19}/manifest",
        "..%2f..%2fetc/manifest",
        f"{'f' * 12}7{'0' * 19}/manifest",
        "%00/manifest",
        f"{'x' * 300}/audio",
    ],
)
async def test_unknown_recording_is_not_found(http, path):
    """404 with a code, whatever the id looks like."""
    assert (await http.get(f"/recordings/{path}")).status_code == 404


@pytest.mark.parametrize("session", ["no-such", f"{'f' * 12}7{'0' * 19}", "%00", "x" * 300, "..%2f..%2fetc"])
async def test_delete_of_an_unknown_recording_is_not_found(tmp_path, session):
    """404 on a real disk too, where not every name can be a file's."""
    async with open_filesystem(folder=tmp_path / "blobs") as store, open_session_log(folder=tmp_path / "log") as log:
        service = scripted_service(uploader=Uploader(log, store))
        async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
            answer = await client.delete(f"/recordings/{session}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=9999", "since=yesterday", "since=2026-13-45", "until=2026-02-30", "since=2026-1-1", "kind=dead"],
)
async def test_recordings_list_refuses_a_wrong_filter(http, query):
    """400, not an empty list, and the sentence names the parameter."""
    answer = await http.get(f"/recordings?{query}")

    assert answer.status_code == 400
    assert f"{query.split('=')[0]}: " in answer.json()["message"]


async def test_recordings_refuse_a_foreign_origin(http):
    """The same rule as for the sockets."""
    assert (await http.get("/recordings", headers={"Origin": "http://evil.example"})).status_code == 403


async def test_recordings_report_a_blob_store_that_is_down(http, service):
    """503 with a stable code; health tells of what waits."""

    async def fail(key: str) -> bytes:
        raise ProviderDown("store", "asked to fail")

    session = await recorded_turn(http, service)
    service.uploader.store = (failing := MemoryBlobStore(service.store.blobs))
    failing.get = fail

    answer = await http.get(f"/recordings/{session}/manifest")

    assert (answer.status_code, answer.json()["code"]) == (503, "provider_down")
    assert (await http.get("/health")).json()["archive"] == {
        "waiting": 0,
        "bytes": 0,
        "oldestSeconds": 0,
        "full": False,
        "error": None,
    }
