"""The recordings API as a client meets it."""

import io
import itertools

import anyio
import httpx
import pytest
from anyio import to_thread

from app.client import open_session
from app.domain.errors import ProviderBusy, ProviderDown
from app.domain.recording.wav import wav_header
from app.media.decode import decode
from storage.google_drive import open_google_drive
from tests.clips import HANDS
from tests.emulators.drive import Drive, serve_drive
from tests.fakes import SILENCE, SPEECH, MemoryBlobStore
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 60
HEAD = 44


@pytest.fixture
async def service():
    return scripted_service()


@pytest.fixture
async def http(service):
    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        yield client


async def spoken(http, service, pcm: bytes = TURN) -> str:
    """The id of a session that said this and is stored."""
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        await talk.send_audio(pcm, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        session = talk.messages("session")[0].message["id"]
    await stored(service)
    return session


async def stored(service) -> None:
    with anyio.fail_after(5):
        while service.admission.sessions or service.uploader.session_log.records:  # noqa: ASYNC110 because the store tells nobody
            await anyio.sleep(0.005)


async def pcm_of(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    return await to_thread.run_sync(lambda: b"".join(decode(io.BytesIO(answer.content))))


async def test_a_session_can_be_heard_again(http, service):
    """By the id of its first message: the manifest, and the very samples as one file."""
    session = await spoken(http, service)

    manifest = (await http.get(f"/recordings/{session}/manifest")).json()
    answer = await http.get(f"/recordings/{session}/audio")

    assert manifest["session"] == session
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.content[HEAD:] == TURN
    assert await pcm_of(answer) == TURN


@pytest.mark.parametrize("form", ["flac", "mp3"])
async def test_other_formats(http, service, form):
    """FLAC holds the very samples, MP3 as many of them."""
    session = await spoken(http, service)

    pcm = await pcm_of(await http.get(f"/recordings/{session}/audio?format={form}"))

    assert pcm == TURN if form == "flac" else len(pcm) == pytest.approx(len(TURN), rel=0.05)


async def test_a_stretch_by_time(http, service):
    """From second to second, to the sample; beyond the end there is nothing."""
    session = await spoken(http, service)

    part = await http.get(f"/recordings/{session}/audio?start=0.5&end=1.25")
    beyond = await http.get(f"/recordings/{session}/audio?start=99")

    assert part.content[HEAD:] == TURN[2 * 8000 : 2 * 20_000]
    assert beyond.content[HEAD:] == b""


async def test_ranges_of_bytes_are_the_files_bytes(http, service):
    """Any range of the wav is that range of the whole."""
    session = await spoken(http, service)
    whole = (await http.get(f"/recordings/{session}/audio")).content
    size = len(whole)
    edges = [0, 1, 43, 44, 45, 1000, 1001, size - 2, size - 1]

    for first, last in itertools.combinations(edges, 2):
        part = await http.get(f"/recordings/{session}/audio", headers={"Range": f"bytes={first}-{last}"})
        assert (part.status_code, part.headers["content-range"]) == (206, f"bytes {first}-{last}/{size}")
        assert part.content == whole[first : last + 1]
    tail = await http.get(f"/recordings/{session}/audio", headers={"Range": "bytes=-7"})
    none = await http.get(f"/recordings/{session}/audio", headers={"Range": f"bytes={size}-"})
    assert tail.content == whole[-7:]
    assert (none.status_code, none.headers["content-range"]) == (416, f"bytes */{size}")


async def test_an_utterance_and_a_reply_by_number(http, service):
    """The words of one utterance, its sound, and the sound of the answer."""
    session = await spoken(http, service)

    words = (await http.get(f"/recordings/{session}/utterances/1")).json()
    sound = await http.get(f"/recordings/{session}/utterances/1/audio")
    reply = await http.get(f"/recordings/{session}/replies/1/audio")

    first, last = words["speech"]
    assert words["text"] == "hello"
    assert sound.content[HEAD:] == TURN[2 * first : 2 * last]
    assert len(reply.content) == HEAD + 2 * 3200
    for nothing in ("utterances/7", "utterances/7/audio", "replies/7/audio", "replies/0/audio"):
        assert (await http.get(f"/recordings/{session}/{nothing}")).status_code == 404


async def test_the_list_has_pages_and_filters(http, service):
    """The newest first; page by page each comes once; filters narrow it."""
    ids = [await spoken(http, service) for _ in range(5)]

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


async def test_what_is_deleted_is_gone(http, service):
    """With every blob; twice is not found."""
    session, other = await spoken(http, service), await spoken(http, service)

    first = await http.delete(f"/recordings/{session}")
    again = await http.delete(f"/recordings/{session}")

    assert (first.status_code, again.status_code) == (204, 404)
    assert not [key for key in service.store.blobs if session in key]
    assert [r["id"] for r in (await http.get("/recordings")).json()["recordings"]] == [other]


async def test_a_session_that_lives_is_not_deleted(http, service):
    """409, and it goes on."""
    async with open_session(f"ws://{http.base_url.netloc.decode()}/ws/transcribe") as talk:
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
        session = talk.messages("session")[0].message["id"]

        assert (await http.delete(f"/recordings/{session}")).status_code == 409


async def test_a_file_can_be_brought(http, service):
    """Any format: it is written down, archived, and can be heard again."""
    answer = await http.post("/recordings", content=HANDS.path.read_bytes())

    assert answer.status_code == 201
    session = answer.json()["id"]
    await stored(service)
    assert (await http.get(f"/recordings/{session}/audio")).content[HEAD:] == HANDS.pcm
    manifest = (await http.get(f"/recordings/{session}/manifest")).json()
    assert manifest["ended"]
    assert [final["text"] for final in manifest["finals"] if final["text"]] == [
        s["text"] for s in answer.json()["segments"]
    ]


async def test_a_file_is_fetched_from_drive(http, service):
    """By its link; without an account that is refused."""
    refused = await http.post("/recordings?source=1AbC_dEfGhIjK-lMnOp")
    drive = Drive(files={"1AbC_dEfGhIjK-lMnOp": ("hands.flac", HANDS.path.read_bytes())})
    async with serve_drive(drive), open_google_drive(token="granted", base_url=drive.url) as service.source:
        answer = await http.post("/recordings?source=https://drive.google.com/file/d/1AbC_dEfGhIjK-lMnOp/view")
        unknown = await http.post("/recordings?source=1AbC_dEfGhIjK-none")

    assert (refused.status_code, answer.status_code, unknown.status_code) == (502, 201, 404)
    await stored(service)
    assert (await http.get(f"/recordings/{answer.json()['id']}/audio")).content[HEAD:] == HANDS.pcm


async def test_nobody_has_to_wait_for_a_file(http, service):
    """202 with the id at once; the words come later."""
    answer = await http.post("/recordings?wait=false", content=HANDS.path.read_bytes())

    assert answer.status_code == 202
    await stored(service)
    manifest = (await http.get(f"/recordings/{answer.json()['id']}/manifest")).json()
    assert manifest["samples"] == len(HANDS.pcm) // 2


async def test_what_is_no_audio_is_refused_and_not_kept(http, service):
    """415 for nonsense, 413 for too much, and nothing is left of either."""
    nonsense = await http.post("/recordings", content=b"this is no sound" * 1000)
    service.max_recording_bytes = 1000
    too_much = await http.post("/recordings", content=HANDS.path.read_bytes())

    assert (nonsense.status_code, nonsense.json()["code"]) == (415, "bad_audio")
    assert (too_much.status_code, too_much.json()["code"]) == (413, "frame_too_large")
    assert (service.store.blobs, service.uploader.session_log.records, service.admission.sessions) == ({}, {}, {})


async def test_an_engine_that_fails_leaves_nothing_half_done(http, service):
    """503, and whoever tries again begins anew."""
    service.batch_transcriber.transcriber.error = ProviderBusy("local", "asked to fail")

    answer = await http.post("/recordings", content=wav_header(48_000) + SPEECH * 40 + SILENCE * 60)
    await stored(service)

    assert (answer.status_code, answer.json()["code"]) == (503, "provider_busy")
    assert (service.store.blobs, service.admission.sessions) == ({}, {})


@pytest.mark.parametrize(
    "path", ["no-such/manifest", "no-such/audio", f"{'0' * 12}7{'0' * 19}/manifest", "..%2f..%2fetc/manifest"]
)
async def test_an_unknown_recording_is_not_found(http, path):
    """404 with a code, whatever the id looks like."""
    assert (await http.get(f"/recordings/{path}")).status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=9999", "since=yesterday", "kind=dead"])
async def test_a_wrong_filter_is_refused(http, query):
    """400, not an empty list."""
    assert (await http.get(f"/recordings?{query}")).status_code == 400


async def test_a_foreign_page_may_not_read(http):
    """The same rule as for the sockets."""
    assert (await http.get("/recordings", headers={"Origin": "http://evil.example"})).status_code == 403


async def test_a_store_that_is_down_is_told(http, service):
    """503 with a stable code; health tells of what waits."""

    async def fail(key: str) -> bytes:
        raise ProviderDown("store", "asked to fail")

    session = await spoken(http, service)
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
