"""`parley worker`: the local engine behind OpenAI's transcription endpoint."""

import wave
from contextlib import aclosing, asynccontextmanager
from io import BytesIO

import anyio
import httpx
import pytest

from app.domain.audio import AudioChunk
from app.domain.errors import ProviderBusy, ProviderRefused
from app.runtime.clock import SystemClock
from app.runtime.worker import AdmissionQueue, Worker
from app.web.openai.transcriptions import LARGEST, create_worker
from providers.openai.transcription import open_transcription
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import ScriptedDetector, ScriptedTranscriber
from tests.serving import serving

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def worker(transcriber, *, at_once=1, waiting=1):
    queue = AdmissionQueue("worker", SystemClock(), at_once, waiting)
    ready = Worker("tiny", transcriber, ScriptedDetector(), queue, "en")
    async with serving(create_worker(ready)) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        yield client


def queued(client: httpx.AsyncClient, number: int):
    async def check() -> bool:
        return (await client.get("/health")).json()["queue"] == number

    return check


async def send(client: httpx.AsyncClient, sound: bytes | None = None, **fields: str) -> httpx.Response:
    sound = HANDS.path.read_bytes() if sound is None else sound
    return await client.post("/v1/audio/transcriptions", files={"file": ("a.flac", sound)}, data=fields)


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("text", "hello\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:03,540\nhello\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:03,540\nhello\n".replace(",", ".")),
    ],
)
async def test_words_come_back_in_the_form_asked_for(form, body):
    """Text and subtitles."""
    async with worker(ScriptedTranscriber()) as client:
        answer = await send(client, response_format=form, model="whisper-1")

    assert answer.status_code == 200
    assert answer.text[:40] == body[:40]


async def test_json_and_verbose_json():
    """The plain form has the text; the long one times and language too."""
    async with worker(ScriptedTranscriber()) as client:
        plain = (await send(client)).json()
        full = (await send(client, response_format="verbose_json", language="de")).json()

    assert plain == {"text": "hello"}
    assert (full["text"], full["language"], full["segments"][0]["text"]) == ("hello", "de", "hello")
    assert full["duration"] == pytest.approx(len(HANDS.pcm) / 32_000, abs=0.01)


async def test_a_long_recording_is_cut_where_people_pause():
    """More than half a minute is no utterance."""
    transcriber = ScriptedTranscriber()
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes((b"\1\0" * 80_000 + bytes(64_000)) * 5)
    async with worker(transcriber) as client:
        full = (await send(client, file.getvalue(), response_format="verbose_json")).json()

    assert transcriber.finals == 5
    assert [s["id"] for s in full["segments"]] == [0, 1, 2, 3, 4]


async def test_a_full_worker_says_when_to_come_back():
    """One at work, one waiting; the third is sent away, and a gateway reads that as busy."""
    transcriber = ScriptedTranscriber(go=anyio.Event())
    async with worker(transcriber) as client, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(send, client)
        await until(queued(client, 2))
        health = (await client.get("/health")).json()

        answer = await send(client)
        with pytest.raises(ProviderBusy):
            await _final(f"{str(client.base_url).rstrip('/')}/v1")
        transcriber.go.set()

    assert health["status"] == "full"
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"] == "provider_busy"


async def test_health_knows_its_latencies():
    """What a balancer wants to know."""
    async with worker(ScriptedTranscriber()) as client:
        await send(client)
        health = (await client.get("/health")).json()

    assert (health["status"], health["model"], health["queue"], health["atOnce"]) == ("ok", "tiny", 0, 1)
    assert health["p95Ms"] > 0


async def test_who_hangs_up_frees_the_place():
    """A hedged loser costs the worker no more than it has done so far."""
    transcriber = ScriptedTranscriber(go=anyio.Event())
    async with worker(transcriber) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, client)
            await until(queued(client, 1))
            tasks.cancel_scope.cancel()
        await until(queued(client, 0))

    assert transcriber.closed == 1


@pytest.mark.parametrize("sound", [b"", b"no sound at all"])
async def test_what_is_no_audio_is_refused(sound):
    """With OpenAI's error body, and not asked of the engine."""
    transcriber = ScriptedTranscriber()
    async with worker(transcriber) as client:
        answer = await send(client, sound)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_audio"
    assert transcriber.finals == 0


async def test_a_wrong_form_and_a_missing_file_are_refused():
    """400, in OpenAI's words."""
    async with worker(ScriptedTranscriber()) as client:
        form = await send(client, response_format="poem")
        missing = await client.post("/v1/audio/transcriptions", files={"other": ("a", b"x")})

    for answer in (form, missing):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_an_upload_too_large_is_refused():
    """Before it fills the memory."""
    async with worker(ScriptedTranscriber()) as client:
        answer = await send(client, bytes(LARGEST + (1 << 20)))

    assert answer.status_code == 413


async def test_an_engine_that_refuses_is_the_clients_fault():
    """A language the model does not speak."""
    async with worker(ScriptedTranscriber(error=ProviderRefused("local", "does not know this language"))) as client:
        answer = await send(client, language="xx")

    assert answer.status_code == 400


async def _final(base_url: str) -> None:
    async def audio():
        yield AudioChunk(HANDS.pcm, 0)

    async with (
        open_transcription(provider_name="w", base_url=base_url, api_key="", model="m") as engine,
        aclosing(engine.transcribe(audio())) as hypotheses,
    ):
        assert [h async for h in hypotheses]
