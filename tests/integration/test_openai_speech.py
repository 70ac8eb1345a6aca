"""`POST /v1/audio/speech` with OpenAI's own clients: formats, speed, events, refusals; places and budgets hold."""

import base64
import io
from contextlib import asynccontextmanager

import anyio
import av
import httpx
import msgspec
import numpy as np
import pytest

from app.domain.audio import AudioChunk
from app.domain.errors import BudgetExhausted, ProviderDown, RequestRefused
from app.domain.tenant import Tenant, fingerprint
from app.runtime.dialog.engines import Engines
from tests.eventually import until
from tests.fakes import ScriptedDetector, ScriptedSynthesizer
from tests.proven_features import proves
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio

KEY = "acme-key"
ACME = Tenant("acme", (fingerprint(KEY),))
TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm;rate=24000;channels=1",
}


class Tone:
    """Speaks a second of 440 Hz for each piece."""

    def __init__(self) -> None:
        self.spoken: list[str] = []

    async def synthesize(self, text, *, voice=None):
        if voice is not None:
            raise RequestRefused("tone", f"has no voice {voice!r}")
        wave = (np.sin(np.arange(16_000) * 2 * np.pi * 440 / 16_000) * 12_000).astype("<i2").tobytes()
        at = 0
        async for piece in text:
            self.spoken.append(piece)
            for start in range(0, len(wave), 3200):
                yield (chunk := AudioChunk(wave[start : start + 3200], at))
                at = chunk.end


@asynccontextmanager
async def speaking(synthesizer, *, refuse=lambda: None, **changes):
    engines = Engines(ScriptedDetector(), None, synthesizer=synthesizer, refuse_speech=refuse)

    @asynccontextmanager
    async def session_engines(session, tenant):
        yield engines

    service = scripted_service(session_engines=session_engines, tenants=lambda: (ACME,), **changes)
    async with (
        served(service) as address,
        httpx.AsyncClient(
            base_url=f"http://{address}/v1", headers={"authorization": f"Bearer {KEY}"}, timeout=30
        ) as http,
    ):
        yield http


def seconds_of(audio: bytes) -> float:
    with av.open(io.BytesIO(audio)) as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


def pitch_of(pcm: bytes) -> float:
    """The strongest frequency, in Hz, of PCM at 24 kHz."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * 24_000 / len(samples))


@proves(
    "openai",
    "openai (Python) 3.57",
    "speech: mp3, opus, aac, flac, pcm",
    "speech: wav",
    "speech: speed",
    "speech: stream_format=sse",
    "speech: voice by name and by id",
    "errors with status, code and param",
)
async def test_python_client_gets_every_format(python_openai):
    synthesizer = Tone()
    async with speaking(synthesizer) as http:
        found = await python_openai.run("openai_speech.py", str(http.base_url).rstrip("/"), KEY)

    for form, (kind, encoded) in found["speech"].items():
        assert kind == TYPES[form]
        if form != "pcm":
            assert seconds_of(base64.b64decode(encoded)) == pytest.approx(3.0, abs=0.15), form
    pcm, fast = base64.b64decode(found["speech"]["pcm"][1]), base64.b64decode(found["fast"])
    assert len(pcm) == 2 * 3 * 24_000
    assert len(fast) == pytest.approx(len(pcm) / 2, rel=0.02)
    assert pitch_of(pcm) == pytest.approx(440, abs=2)
    assert pitch_of(fast) == pytest.approx(440, abs=5)
    assert base64.b64decode(found["speech"]["wav"][1])[4:8] == b"\xff\xff\xff\xff"
    assert (found["default"], found["voice by id"]) == ("audio/mpeg", TYPES["pcm"])
    *deltas, done = found["events"]
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert len(b"".join(base64.b64decode(event["audio"]) for event in deltas)) == 2 * 2 * 24_000
    assert done["type"] == "speech.audio.done"
    assert done["usage"] == {"input_tokens": 3, "output_tokens": 40, "total_tokens": 43}
    assert found["refused"] == {
        "long": [400, "bad_message", "input"],
        "empty": [400, "bad_message", "input"],
        "speed": [400, "bad_message", "speed"],
        "format": [400, "bad_message", "response_format"],
    }
    assert synthesizer.spoken[:3] == ["One.", "Two.", "Three."]


@proves("openai", "openai (npm) 7.57", "speech: wav")
async def test_node_client_gets_speech(node_openai):
    async with speaking(Tone()) as http:
        kind, size = await node_openai.run("openai_replies.mjs", str(http.base_url).rstrip("/"), KEY, "speech")

    assert (kind, size) == ("audio/wav", 44 + 2 * 2 * 24_000)


async def test_first_sound_comes_while_the_rest_is_spoken():
    """A voice that never ends: what it has spoken is sent, in every format."""
    async with speaking(ScriptedSynthesizer(forever=True)) as http:
        for form in TYPES:
            body = {"input": "One.", "response_format": form}
            async with http.stream("POST", "/audio/speech", json=body) as answer:
                with anyio.fail_after(10):
                    assert await anext(answer.aiter_bytes())


async def test_client_that_leaves_stops_the_voice_and_frees_its_place():
    voice = ScriptedSynthesizer(forever=True)

    async def is_closed() -> bool:
        return voice.closed == 1

    async with speaking(voice, max_sessions=1) as http:
        async with http.stream("POST", "/audio/speech", json={"input": "One."}) as answer:
            await anext(answer.aiter_bytes())
            refused = await http.post("/audio/speech", json={"input": "One."})
        await until(is_closed)

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "provider_busy")


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
async def test_voice_that_fails_before_its_first_sound_is_an_error_response(stream_format):
    async with speaking(ScriptedSynthesizer(error=ProviderDown("piper", "is gone"))) as http:
        answer = await http.post("/audio/speech", json={"input": "One.", "stream_format": stream_format})

    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")


async def test_voice_that_fails_later_ends_the_events_with_an_error():
    body = {"input": "One. Two.", "stream_format": "sse", "response_format": "pcm"}
    async with speaking(ScriptedSynthesizer(error=ProviderDown("piper", "is gone"), fails_after=1)) as http:
        answer = await http.post("/audio/speech", json=body)

    *deltas, last = [msgspec.json.decode(line[6:]) for line in answer.text.split("\n\n") if line]
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert last["error"]["code"] == "provider_down"


async def test_spent_budget_is_insufficient_quota_and_not_to_be_repeated():
    async with speaking(ScriptedSynthesizer(), refuse=lambda: BudgetExhausted("the day's budget is spent")) as http:
        answer = await http.post("/audio/speech", json={"input": "One."})

    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"


async def test_unknown_voice_and_a_server_without_one_are_named():
    async with speaking(Tone()) as http:
        unknown = await http.post("/audio/speech", json={"input": "One.", "voice": "Gandalf"})
        known = await http.post("/audio/speech", json={"input": "One.", "voice": "Verse"})
    async with speaking(None) as http:
        without = await http.post("/audio/speech", json={"input": "One."})

    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "voice")
    assert known.status_code == 200
    assert (without.status_code, without.json()["error"]["param"]) == (400, "model")


async def test_voices_and_models_of_speech_are_listed_without_a_key():
    async with speaking(Tone()) as http:
        voices = await http.get("/audio/voices", headers={"authorization": ""})
        models = await http.get("/audio/models", headers={"authorization": ""})

    assert {"id": "alloy", "name": "Alloy"} in voices.json()["voices"]
    assert len(voices.json()["voices"]) == 13
    assert {"id": "tts-1"} in models.json()["models"]


@pytest.mark.parametrize("path", ["/v1/readyz", "/v1/test", "/health"])
async def test_probes_for_other_servers_do_not_take_this_one_for_theirs(path):
    """wyoming-openai asks for them to tell LocalAI and Speaches apart."""
    async with speaking(Tone()) as http:
        answer = await http.get(str(http.base_url).removesuffix("/v1/") + path)

    assert answer.status_code == 404 or answer.text != "OK"
    assert path == "/health" or answer.status_code == 404
