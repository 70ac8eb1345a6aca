"""`parley worker`: the local engine behind OpenAI's transcription endpoint."""

import tracemalloc
import wave
from contextlib import aclosing, asynccontextmanager
from io import BytesIO
from pathlib import Path

import anyio
import httpx
import pytest
import structlog

from app.domain.audio import AudioChunk
from app.domain.errors import ProviderBusy, RequestRefused
from app.domain.transcript import Word
from app.media.sandbox import DecodingLimits
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.jobs.audio_decoder import AudioDecoder
from app.runtime.worker import Worker
from app.web.openai.transcriptions import MAX_UPLOAD_BYTES
from app.web.openai.worker import create_worker
from providers.openai.transcription import open_transcription
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import ScriptedDetector, ScriptedTranscriber, TermNotingTranscriber
from tests.serving import serving

pytestmark = pytest.mark.anyio
INPUTS = Path(__file__).parents[1] / "inputs"


@asynccontextmanager
async def worker(transcriber, *, batch=None, concurrency=1, max_waiting=1, decoder=None):
    queue = AdmissionQueue("worker", SystemClock(), concurrency, max_waiting)
    ready = Worker(
        "tiny", transcriber, batch or transcriber, ScriptedDetector(), queue, "en", decoder=decoder or AudioDecoder()
    )
    async with (
        serving(create_worker(ready)) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=120) as client,
    ):
        yield client


def queued(client: httpx.AsyncClient, number: int):
    async def check() -> bool:
        return (await client.get("/health")).json()["queue"] == number

    return check


async def utterance(pcm: bytes):
    yield AudioChunk(pcm, 0)


async def send(client: httpx.AsyncClient, sound: bytes | None = None, **fields: str | list[str]) -> httpx.Response:
    sound = HANDS.path.read_bytes() if sound is None else sound
    return await client.post("/v1/audio/transcriptions", files={"file": ("a.flac", sound)}, data=fields)


async def test_key_terms_in_the_prompt_reach_the_engine():
    """Of a gateway, whose client expects names."""
    transcriber = TermNotingTranscriber()
    async with worker(transcriber) as client:
        answer = await send(client, prompt="Siobhan, rigor mortis\nParley")
        refused = await send(client, prompt=",".join(f"term {n}" for n in range(201)))

    assert answer.status_code == 200
    assert transcriber.expected == [("Siobhan", "rigor mortis", "Parley")]
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_message")


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("text", "hello\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:03,540\nhello\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:03,540\nhello\n".replace(",", ".")),
    ],
)
async def test_the_transcript_has_the_response_format_asked_for(form, body):
    async with worker(ScriptedTranscriber()) as client:
        answer = await send(client, response_format=form, model="whisper-1")

    assert answer.status_code == 200
    assert answer.text[:40] == body[:40]


async def test_json_has_the_text_and_verbose_json_times_and_language():
    async with worker(ScriptedTranscriber()) as client:
        plain = (await send(client)).json()
        full = (await send(client, response_format="verbose_json", language="de")).json()

    assert plain == {"text": "hello", "usage": {"type": "duration", "seconds": 4}}
    assert (full["text"], full["language"], full["segments"][0]["text"]) == ("hello", "german", "hello")
    assert full["duration"] == pytest.approx(len(HANDS.pcm) / 32_000, abs=0.01)


def five_sentences() -> bytes:
    """A WAV file of 35 s: five times five seconds of sound and a pause of two."""
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes((b"\1\0" * 80_000 + bytes(64_000)) * 5)
    return file.getvalue()


async def test_audio_longer_than_an_utterance_is_cut_at_pauses():
    transcriber = ScriptedTranscriber()
    async with worker(transcriber) as client:
        full = (await send(client, five_sentences(), response_format="verbose_json")).json()

    assert transcriber.finals == 5
    assert [s["id"] for s in full["segments"]] == [0, 1, 2, 3, 4]


async def test_long_file_has_batch_priority_and_an_utterance_has_not():
    """A gateway's live final does not wait behind a recording that someone else sent."""
    live, batch = ScriptedTranscriber(), ScriptedTranscriber()
    async with worker(live, batch=batch) as client:
        await send(client, five_sentences())
        await send(client)

    assert (live.finals, batch.finals) == (1, 5)


async def test_a_request_beyond_the_queue_limit_is_503_with_retry_after():
    """One at work, one waiting; the third is refused, and a gateway reads that as provider_busy."""
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


async def test_health_reports_load_and_latency_percentiles():
    async with worker(ScriptedTranscriber()) as client:
        await send(client)
        health = (await client.get("/health")).json()

    assert (health["status"], health["model"], health["queue"], health["atOnce"]) == ("ok", "tiny", 0, 1)
    assert health["p95Ms"] > 0


async def test_a_disconnect_cancels_the_transcription_and_frees_its_slot():
    """The loser of a hedge costs the worker no more than it has done so far."""
    transcriber = ScriptedTranscriber(go=anyio.Event())

    async def transcribing() -> bool:
        return transcriber.finals == 1

    async with worker(transcriber) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, client)
            await until(transcribing)
            tasks.cancel_scope.cancel()
        await until(queued(client, 0))

    assert transcriber.closed == 1


@pytest.mark.parametrize("sound", [b"", b"no sound at all"])
async def test_a_file_that_is_no_audio_is_a_400_in_openais_shape(sound):
    transcriber = ScriptedTranscriber()
    async with worker(transcriber) as client:
        answer = await send(client, sound)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_audio"
    assert transcriber.finals == 0


async def test_an_unknown_response_format_or_a_missing_file_is_a_400_in_openais_shape():
    async with worker(ScriptedTranscriber()) as client:
        form = await send(client, response_format="poem")
        missing = await client.post("/v1/audio/transcriptions", files={"other": ("a", b"x")})

    for answer in (form, missing):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_an_upload_above_the_limit_is_413():
    async with worker(ScriptedTranscriber()) as client:
        answer = await send(client, bytes(MAX_UPLOAD_BYTES + (1 << 20)))

    assert answer.status_code == 413


async def test_a_language_the_model_does_not_know_is_request_refused():
    async with worker(ScriptedTranscriber(error=RequestRefused("local", "does not know this language"))) as client:
        answer = await send(client, language="cy")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request_refused")


async def test_a_language_that_is_none_is_an_unknown_language():
    """The model is not asked."""
    transcriber = ScriptedTranscriber()
    async with worker(transcriber) as client:
        answer = await send(client, language="xx")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_language")
    assert transcriber.finals == 0


async def test_verbose_json_has_words_where_they_are_asked_for():
    """As OpenAI has them, and the probability of each; over two languages the worker's engine detects one."""
    words = (Word("hello", 1600, 8000, 0.75), Word("there", 8000, 16_000, 0.5))
    transcriber = ScriptedTranscriber(words=words)
    async with worker(transcriber) as client:
        plain = (await send(client, response_format="verbose_json")).json()
        both = {"timestamp_granularities[]": ["segment", "word"]}
        full = (await send(client, response_format="verbose_json", language="de-DE,English", **both)).json()

    assert "words" not in plain
    assert full["words"] == [
        {"word": "hello", "start": 0.1, "end": 0.5, "probability": 0.75},
        {"word": "there", "start": 0.5, "end": 1.0, "probability": 0.5},
    ]
    assert transcriber.languages == ["en", "de,en"]


async def test_words_and_languages_reach_a_gateway():
    """The worker's client asks for them, and has the same samples."""
    words = (Word("hello", 1600, 8000, 0.75),)
    transcriber = ScriptedTranscriber(words=words)
    async with worker(transcriber) as client:
        options = {"provider_name": "w", "base_url": f"{client.base_url}/v1", "api_key": "k", "model": "tiny"}
        async with open_transcription(**options, is_worker=True, gives_words=True) as engine:
            sound = utterance(HANDS.pcm)
            (final,) = [each async for each in engine.transcribe(sound, language="de,en")]

    assert (final.words, transcriber.languages) == (words, ["de,en"])


def part(disposition: str, content: bytes) -> bytes:
    return b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (disposition.encode("latin-1"), content)


FILE = part('name="file"; filename="a.flac"', HANDS.path.read_bytes())
HOSTILE_FORMS = {
    "a file part without a file name": part('name="file"', HANDS.path.read_bytes()),
    "a file part with an empty file name": part('name="file"; filename=""', HANDS.path.read_bytes()),
    "a language in Latin-1": part('name="language"', b"fran\xe7ais") + FILE,
    "a file name in Latin-1": part('name="file"; filename="Caf\xe9.flac"', HANDS.path.read_bytes()),
    "a charset nobody knows": part('name="language"\r\nContent-Type: text/plain; charset=klingon', b"en") + FILE,
    "no parts at all": b"",
    "no boundary": b"not a form",
}


@pytest.mark.parametrize("name", HOSTILE_FORMS)
async def test_a_form_that_cannot_be_read_is_a_400_in_openais_shape(name):
    transcriber = ScriptedTranscriber()
    async with worker(transcriber) as client:
        answer = await client.post(
            "/v1/audio/transcriptions",
            content=HOSTILE_FORMS[name] + b"--x--\r\n",
            headers={"content-type": "multipart/form-data; boundary=x"},
        )

    assert answer.status_code == 400
    assert answer.json()["error"].keys() == {"message", "type", "code", "param"}
    assert transcriber.finals == 0


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "text/plain; charset=\u00ff", ""])
async def test_a_body_that_is_no_form_is_a_400_in_openais_shape(content_type):
    async with worker(ScriptedTranscriber()) as client:
        answer = await client.post(
            "/v1/audio/transcriptions", content=b"{}", headers=[(b"content-type", content_type.encode("latin-1"))]
        )

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_unexpected_exception_of_an_engine_is_a_500_in_openai_format_and_one_log_line():
    with structlog.testing.capture_logs() as lines:
        async with worker(ScriptedTranscriber(error=KeyError("a secret"))) as client:
            answer = await send(client)

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert [type(line["exc_info"]) for line in lines] == [KeyError]


async def _final(base_url: str) -> None:
    async def audio():
        yield AudioChunk(HANDS.pcm, 0)

    async with (
        open_transcription(provider_name="w", base_url=base_url, api_key="", model="m") as engine,
        aclosing(engine.transcribe(audio())) as hypotheses,
    ):
        assert [h async for h in hypotheses]


async def test_damaged_file_is_transcribed_with_a_warning():
    async with worker(ScriptedTranscriber()) as client:
        damaged = (INPUTS / "mp3-300-random-bytes-in-the-middle.mp3").read_bytes()
        full = (await send(client, damaged, response_format="verbose_json")).json()
        intact = (await send(client, response_format="verbose_json")).json()

    assert full["text"] == "hello"
    assert full["warnings"] == ["1 damaged piece was skipped"]
    assert intact["warnings"] == []


async def test_audio_longer_than_the_limit_is_refused():
    decoder = AudioDecoder(DecodingLimits(longest_s=20.0))
    async with worker(ScriptedTranscriber(), decoder=decoder) as client:
        answer = await send(client, five_sentences())

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_audio")
    assert "longer than" in answer.json()["error"]["message"]


class HourOfSilence(AudioDecoder):
    """Decodes any file as an hour of silence: 115 MB."""

    async def decode(self, file, *, on_warning=None, on_length=None):
        for second in range(3600):
            yield AudioChunk(bytes(32_000), 16_000 * second)


async def test_long_audio_is_never_whole_in_memory():
    """An hour passes through; the worker holds half a minute of it at most."""
    async with worker(ScriptedTranscriber(), decoder=HourOfSilence()) as client:
        tracemalloc.start()
        full = (await send(client, response_format="verbose_json")).json()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert full["duration"] == 3600
    assert peak < 20 << 20
