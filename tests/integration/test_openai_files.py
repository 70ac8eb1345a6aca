"""Transcriptions and models as OpenAI has them, on the gateway and on a worker, with the vendors' own clients."""

import base64
import wave
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

import anyio
import httpx
import msgspec
import pytest

from app.domain.errors import ProviderDown
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant, fingerprint
from app.domain.transcript import Hypothesis, Word
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.authentication import TenantKeys
from app.runtime.clock import SystemClock
from app.runtime.dialog.engines import Engines
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.worker import Worker
from app.web.openai.worker import create_worker
from tests.clips import HANDS
from tests.eventually import until
from tests.fakes import ScriptedDetector, ScriptedEmbedder, ScriptedTranscriber, SingleRouteFinals
from tests.integration.test_worker import five_sentences
from tests.proven_features import proves
from tests.serving import scripted_service, served, serving

pytestmark = pytest.mark.anyio

KEY = "acme-key"
ACME = Tenant("acme", (fingerprint(KEY),))
WORDS = (Word("hello", 1600, 8000, 0.75), Word("there", 8000, 16_000, 0.5))
SEGMENT_FIELDS = {
    "id",
    "seek",
    "start",
    "end",
    "text",
    "tokens",
    "temperature",
    "avg_logprob",
    "compression_ratio",
    "no_speech_prob",
}


@asynccontextmanager
async def gateway(engine=None, **changes):
    engine = engine or ScriptedTranscriber("hello there", words=WORDS)
    changes.setdefault("batch_transcriber", BatchTranscriber(ScriptedDetector(), engine, None, "whisper-base"))
    async with served(scripted_service(tenants=lambda: (ACME,), **changes)) as address:
        yield address


@asynccontextmanager
async def worker(engine=None):
    engine = engine or ScriptedTranscriber("hello there", words=WORDS)
    queue = AdmissionQueue("worker", SystemClock(), 2, 8)
    keys = TenantKeys(lambda: (ACME,))
    ready = Worker("whisper-base", engine, engine, ScriptedDetector(), queue, "en", authenticator=keys)
    async with serving(create_worker(ready)) as address:
        yield address


@pytest.fixture(params=[gateway, worker], ids=["gateway", "worker"])
async def base(request):
    async with request.param() as address:
        yield f"http://{address}/v1"


@pytest.fixture
def recording(tmp_path):
    """Thirty-five seconds with five sentences."""
    file = tmp_path / "five.wav"
    file.write_bytes(five_sentences())
    return str(file)


def wav(pcm: bytes) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(pcm)
    return file.getvalue()


async def send(base: str, sound: bytes | None = None, **fields) -> httpx.Response:
    sound = HANDS.path.read_bytes() if sound is None else sound
    async with httpx.AsyncClient(timeout=60, headers={"authorization": f"Bearer {KEY}"}) as http:
        return await http.post(f"{base}/audio/transcriptions", files={"file": ("a.flac", sound)}, data=fields)


def events_of(answer: httpx.Response) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [msgspec.json.decode(line) for line in lines]


# -- The vendors' clients ------------------------------------------------------------------------------


@proves(
    "openai",
    "openai (Python) 3.57",
    "transcription: json, text, srt",
    "transcription: vtt",
    "transcription: segments in verbose_json",
    "transcription: words in verbose_json",
    "transcription: diarized_json",
    "transcription: stream=true",
    "models",
    "errors with status, code and param",
)
async def test_python_client_gets_every_format(base, request, python_openai, recording):
    """And for each mistake the exception that it has for it, with code, field and type."""
    found = await python_openai.run("openai_files.py", base, KEY, recording)

    text = " ".join(["hello there"] * 5)
    assert (found["json"], found["text"]) == (text, f"{text}\n")
    assert found["srt"].startswith("1\n00:00:00,100 --> 00:00:")
    assert found["vtt"].startswith("WEBVTT\n\n00:00:00.100 --> 00:00:")
    assert all(segment.keys() >= SEGMENT_FIELDS for segment in found["verbose"]["segments"])
    assert [segment["temperature"] for segment in found["verbose"]["segments"]] == [0.2] * 5
    assert [word["word"] for word in found["verbose"]["words"]] == ["hello", "there"] * 5
    assert (found["verbose"]["language"], found["verbose"]["duration"]) == ("english", 35.0)
    assert {segment["speaker"] for segment in found["diarized"]["segments"]} == {"A"}
    for name in ("events", "whisper-1 events"):
        *deltas, done = found[name]
        assert [event["type"] for event in deltas] == ["transcript.text.delta"] * 5
        assert "".join(event["delta"] for event in deltas) == done["text"] == text
        assert done["usage"] == {"type": "duration", "seconds": 35}
    assert {"whisper-base", "whisper-1"} <= {*found["models"]}
    assert found["model"] == {"id": "whisper-1", "object": "model", "created": 1764201600, "owned_by": "parley"}
    bad = "invalid_request_error"
    is_gateway = request.node.callspec.params["base"] is gateway  # which says what to use in place of responses
    assert {name: refused[:5] for name, refused in found["refused"].items()} == {
        "no such model": ["NotFoundError", 404, "model_not_found", "model", bad],
        "no audio": ["BadRequestError", 400, "bad_audio", None, bad],
        "language": ["BadRequestError", 400, "unknown_language", "language", bad],
        "format": ["BadRequestError", 400, "bad_message", "response_format", bad],
        "translation": ["BadRequestError", 400, "bad_message", "model", bad],
        "key": ["AuthenticationError", 401, "invalid_api_key", None, bad],
        "path": ["NotFoundError", 404, "not_found", None, bad],
        "responses": (
            ["BadRequestError", 400, "bad_message", None, bad]
            if is_gateway
            else ["NotFoundError", 404, "not_found", None, bad]
        ),
    }


@proves(
    "openai",
    "openai (npm) 7.57",
    "transcription: json, text, srt",
    "transcription: words in verbose_json",
    "transcription: stream=true",
    "models",
    "errors with status, code and param",
)
async def test_node_client_gets_the_same(base, node_openai, recording):
    found = await node_openai.run("openai_files.mjs", base, KEY, recording)

    text = " ".join(["hello there"] * 5)
    assert (found["json"], found["text"]) == (text, f"{text}\n")
    assert found["srt"].startswith("1\n00:00:00,100 --> ")
    assert [word["word"] for word in found["verbose"]["words"]] == ["hello", "there"] * 5
    assert "".join(event.get("delta", "") for event in found["events"]) == text
    assert "whisper-1" in found["models"]
    assert found["refused"] == [404, "model_not_found", "model"]


@proves("openai", "@ai-sdk/openai 3.0", "transcription: segments in verbose_json")
async def test_ai_sdk_accepts_the_segments(base, ai_sdk, recording):
    """Its schema wants all ten fields of a segment."""
    found = await ai_sdk.run("ai_sdk.mjs", base, KEY, recording)

    assert found["text"] == " ".join(["hello there"] * 5)
    assert [segment["text"] for segment in found["segments"]] == ["hello there"] * 5
    assert found["language"] == "en"


# -- Forms -------------------------------------------------------------------------------------------


@dataclass
class NotingTranscriber(ScriptedTranscriber):
    expected: list[tuple[str, ...]] = field(default_factory=list)

    def with_key_terms(self, terms):
        self.expected.append(tuple(terms))
        return self


@pytest.mark.parametrize("serve", [gateway, worker])
async def test_newer_fields_reach_the_engine(serve):
    """`languages` and `keywords`, with brackets and without; a prompt in prose is no key term."""
    engine = NotingTranscriber()
    async with serve(engine) as address:
        prose = "The following is a conversation between two people who have known each other for a long time."
        fields = {"languages[]": ["de", "French"], "keywords": ["Siobhan", "Parley"], "prompt": prose}
        answer = await send(f"http://{address}/v1", model="gpt-transcribe", **fields)

    assert answer.status_code == 200
    assert engine.languages == ["de,fr"]
    assert engine.expected == [("Siobhan", "Parley")]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "poem"}, "response_format"),
        ({"temperature": "2"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"stream": "perhaps"}, "stream"),
        ({"timestamp_granularities[]": "syllable"}, "timestamp_granularities"),
        ({"language": "xx"}, "language"),
        ({"languages[]": "xx"}, "language"),
        ({"language": "e" * 101}, "language"),
        ({"prompt": ",".join(f"term {n}" for n in range(201))}, "prompt"),
    ],
)
async def test_refused_field_is_named(base, fields, param):
    answer = await send(base, **fields)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_absent_granularities_give_segments_and_words_alone_give_both(base):
    plain = (await send(base, response_format="verbose_json")).json()
    words = (await send(base, response_format="verbose_json", timestamp_granularities="word")).json()

    assert (len(plain["segments"]), "words" in plain) == (1, False)
    assert [word["word"] for word in words["words"]] == ["hello", "there"]
    assert plain["segments"][0]["avg_logprob"] == pytest.approx(-0.4904, abs=1e-4)


@pytest.mark.parametrize("stream", ["true", "True", "1"])
async def test_true_is_read_in_any_spelling(base, stream):
    answer = await send(base, stream=stream)

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [event["type"] for event in events_of(answer)] == ["transcript.text.delta", "transcript.text.done"]


async def test_file_in_json_is_read(base):
    audio = {"data": base64.b64encode(HANDS.path.read_bytes()).decode(), "format": "flac"}
    async with httpx.AsyncClient(timeout=60, headers={"authorization": f"Bearer {KEY}"}) as http:
        answer = await http.post(
            f"{base}/audio/transcriptions", json={"model": "x", "language": "en", "input_audio": audio}
        )
        garbage = await http.post(f"{base}/audio/transcriptions", json={"input_audio": {"data": "é!", "format": "wav"}})

    assert (answer.status_code, answer.json()["text"]) == (200, "hello there")
    assert (garbage.status_code, garbage.json()["error"]["param"]) == (400, "input_audio.data")


async def test_file_in_chunks_without_a_length_is_read(base):
    """As Open WebUI sends it: chunked, and the part has no type."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="audio"\r\n\r\n'

    async def body():
        yield head
        yield HANDS.path.read_bytes()
        yield b"\r\n--x--\r\n"

    headers = {"authorization": f"Bearer {KEY}", "content-type": "multipart/form-data; boundary=x"}
    async with httpx.AsyncClient(timeout=60, headers=headers) as http:
        answer = await http.post(f"{base}/audio/transcriptions", content=body())

    assert (answer.status_code, answer.json()["text"]) == (200, "hello there")


async def test_speakers_are_told_apart_in_diarized_json_where_the_gateway_can():
    """Short files are cut at pauses for it too; other formats are as they were."""
    embedder = ScriptedEmbedder([(1.0, 0.0), (0.0, 1.0)])
    batch = BatchTranscriber(ScriptedDetector(), ScriptedTranscriber(), None, embedder=embedder)
    service = scripted_service(tenants=lambda: (ACME,), batch_transcriber=batch)
    two = wav((b"\1\0" * 48_000 + bytes(64_000)) * 2)
    async with served(service) as address:
        base = f"http://{address}/v1"
        whole = (await send(base, two, response_format="diarized_json")).json()
        events = events_of(await send(base, two, response_format="diarized_json", stream="true"))
        await send(base, two, response_format="verbose_json")

    assert [segment["speaker"] for segment in whole["segments"]] == ["A", "B"]
    assert [event["speaker"] for event in events if event["type"] == "transcript.text.segment"] == ["A", "B"]
    assert len(embedder.embedded) == 4


# -- Streams and faults -----------------------------------------------------------------------------


@pytest.mark.parametrize("serve", [gateway, worker])
async def test_silence_is_an_empty_text_in_every_form(serve):
    async with serve(ScriptedTranscriber("")) as address:
        plain = await send(f"http://{address}/v1")
        (done,) = events_of(await send(f"http://{address}/v1", stream="true"))

    assert plain.json()["text"] == done["text"] == ""


@pytest.mark.parametrize("serve", [gateway, worker])
async def test_stream_that_fails_before_its_first_event_is_an_error_response(serve):
    """Its status is the error's, not 200."""
    async with serve(ScriptedTranscriber(error=ProviderDown("local", "is gone"))) as address:
        answer = await send(f"http://{address}/v1", stream="true")
        no_audio = await send(f"http://{address}/v1", b"no audio", stream="true")

    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
    assert (no_audio.status_code, no_audio.json()["error"]["code"]) == (400, "bad_audio")


class BreakingTranscriber(ScriptedTranscriber):
    """Fails at the third utterance."""

    async def transcribe(self, utterance, *, language=None):
        self.finals += 1
        if self.finals == 3:
            raise ProviderDown("local", "is gone")
        async for _ in utterance:
            pass
        yield Hypothesis("hello", is_final=True)


@pytest.mark.parametrize("serve", [gateway, worker])
async def test_stream_that_fails_later_ends_with_an_error_event(serve):
    async with serve(BreakingTranscriber()) as address:
        answer = await send(f"http://{address}/v1", five_sentences(), stream="true")

    *deltas, last = [msgspec.json.decode(line[6:]) for line in answer.text.split("\n\n") if line]
    assert [event["type"] for event in deltas] == ["transcript.text.delta"] * 2
    assert last["error"]["code"] == "provider_down"


async def test_gateway_counts_a_file_as_a_session_of_its_tenant():
    """While one is transcribed there is no place for another, and the answer says when to come again."""
    engine = ScriptedTranscriber(go=anyio.Event())

    async def is_transcribing() -> bool:
        return bool(engine.finals)

    async with gateway(engine, max_sessions=1) as address, anyio.create_task_group() as tasks:
        tasks.start_soon(send, f"http://{address}/v1")
        await until(is_transcribing)
        refused = await send(f"http://{address}/v1")
        engine.go.set()

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "provider_busy")
    assert int(refused.headers["retry-after"]) >= 1


async def test_gateway_without_a_model_of_its_own_asks_the_routes():
    """Under the policy, as a session does: the decision is recorded."""
    finals = SingleRouteFinals(Route("worker", Place.ON_PREM), ScriptedTranscriber("from afar"))

    @asynccontextmanager
    async def engines(session, tenant):
        yield Engines(ScriptedDetector(), finals)

    async with gateway(batch_transcriber=None, session_engines=engines) as address:
        short = await send(f"http://{address}/v1")
        long = await send(f"http://{address}/v1", five_sentences())

    assert (short.json()["text"], long.json()["text"]) == ("from afar", " ".join(["from afar"] * 5))
    assert len(finals.shown) == 6


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/batches", "/v1/audio/nothing"])
async def test_unknown_path_is_404_in_openais_shape(base, method, path):
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as http:
        answer = await http.request(method, base.removesuffix("/v1") + path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_wrong_method_is_405_in_openais_shape(base):
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as http:
        answer = await http.delete(f"{base}/audio/transcriptions")

    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
