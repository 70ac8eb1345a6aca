"""Phone calls: Twilio's webhook and Media Streams at a real server, by its own library and a simulator of its calls."""

import base64
import json
import wave
from contextlib import nullcontext
from dataclasses import replace
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import anyio
import httpx
import numpy as np
import pytest
from streamdouble.protocol import StreamIdentity
from streamdouble.scenario import parse
from streamdouble.session import Session, SessionConfig
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.domain.audio import SAMPLE_RATE, AudioChunk
from app.domain.telephony import TwilioAccount
from app.domain.tenant import Tenant, fingerprint
from tests.proven_features import BY_HAND, proves
from tests.serving import scripted_service, served, stored_manifest

pytestmark = pytest.mark.anyio
PUBLIC = "https://voice.example.org"
ACCOUNT = TwilioAccount("the-auth-token", PUBLIC, "acme")
FORM = {"CallSid": "CA1", "From": "+4930123456", "To": "+4930987654", "AccountSid": "AC1"}


@pytest.fixture
async def service():
    tenants = (Tenant("acme", (fingerprint("acme-key"),), max_sessions=2),)
    return scripted_service(telephony=ACCOUNT, tenants=lambda: tenants)


@pytest.fixture
async def address(service):
    async with served(service) as where:
        yield where


def signed(url: str, form: dict[str, str] | None = None, token: str = ACCOUNT.auth_token) -> dict[str, str]:
    return {"x-twilio-signature": RequestValidator(token).compute_signature(url, form or {})}


async def webhook(address: str, form=FORM, *, query: str = "", headers=None) -> httpx.Response:
    headers = signed(f"{PUBLIC}/twilio/voice{query}", form) if headers is None else headers
    body = urlencode(form)
    async with httpx.AsyncClient(timeout=20) as client:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return await client.post(f"http://{address}/twilio/voice{query}", content=body, headers={**kind, **headers})


async def parameters(address: str, identity: StreamIdentity, query: str = "") -> dict[str, str]:
    """What Twilio passes on to the stream of this call."""
    answer = await webhook(address, {**FORM, "CallSid": identity.call_sid}, query=query)
    stream = ET.fromstring(answer.content).find("Connect/Stream")
    assert stream is not None, answer.text
    assert stream.attrib["url"] == "wss://voice.example.org/twilio/stream"
    return {each.attrib["name"]: each.attrib["value"] for each in stream.iter("Parameter")}


async def place_call(address: str, scenario: dict, tmp_path, query: str = "") -> Session:
    identity = StreamIdentity()
    config = SessionConfig(
        custom_parameters=await parameters(address, identity, query), response_timeout_s=10, max_call_s=60
    )
    call = Session(
        f"ws://{address}/twilio/stream", scenario=parse(scenario, base_dir=tmp_path), config=config, identity=identity
    )
    call.report = await call.run()
    return call


@pytest.fixture
def speech(tmp_path):
    """A file of one second that the scripted detector takes for speech."""
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.full(8000, 8031, "<i2").tobytes())
    return path.name


@proves("twilio", "streamdouble 0.3", "speech in, reply out, marks")
async def test_a_caller_is_answered_and_the_reply_is_played(address, service, speech, tmp_path):
    steps = [{"say": speech}, {"wait_for": "audio"}, {"wait_for": "quiet"}, "hangup"]
    call = await place_call(address, {"name": "talk", "steps": steps}, tmp_path)

    assert call.report.violations == []
    assert 1500 <= len(call.report.audio_received) <= 2000  # two sentences of 100 ms, in whole frames
    assert call.report.marks_echoed
    manifest = await stored_manifest(service, await only_recording(service))
    assert manifest["tenant"] == "acme"
    assert manifest["person"] == "+4930123456"
    assert [final["text"] for final in manifest["finals"] if final["text"]] == ["hello"]


async def only_recording(service) -> str:
    """The id of the one session that was recorded."""
    with anyio.fail_after(10):
        while True:
            ids = {key.split("/")[-2] for key in service.store.blobs if key.endswith("manifest.json")}
            if ids:
                assert len(ids) == 1
                return ids.pop()
            await anyio.sleep(0.02)


class LongSynthesizer:
    """Speaks twenty seconds, sent at once."""

    async def synthesize(self, text, *, voice=None):
        async for _ in text:
            yield AudioChunk(b"\2\0" * SAMPLE_RATE * 20, 0)
            return


@proves("twilio", "streamdouble 0.3", "interruption: clear, history cut at the marks")
async def test_a_caller_who_speaks_over_the_reply_silences_it(address, service, speech, tmp_path):
    """All of it is sent long before it is played: what silences it is `clear`, and marks say what was played."""
    async with service.session_engines("", None) as engines:
        long = replace(engines, synthesizer=LongSynthesizer())
    service.session_engines = lambda *_: nullcontext(long)
    steps = [{"say": speech}, {"wait_for": "audio"}, {"wait": 2.0}, {"say": speech}, {"wait_for": "clear"}, "hangup"]
    call = await place_call(address, {"name": "interrupt", "steps": steps}, tmp_path)

    assert call.report.violations == []
    assert call.report.clears_received == 1
    manifest = await stored_manifest(service, await only_recording(service))
    reply = manifest["replies"][0]
    assert reply["text"].startswith(reply["played"])
    assert len(reply["played"]) < len(reply["text"])


@proves("twilio", "streamdouble 0.3", "keys (DTMF)")
async def test_keys_are_text_and_orders(address, service, tmp_path):
    steps = [{"dtmf": "4"}, {"dtmf": "2"}, {"dtmf": "#"}, {"wait_for": "audio"}, {"wait_for": "quiet"}, "hangup"]
    await place_call(address, {"name": "keys", "steps": steps}, tmp_path)

    async with service.session_engines("", None) as engines:
        asked = engines.generator.asked
    assert [message.text for message in asked[-1]][-1] == "42"


@proves("twilio", "twilio (Python) 9.13", "webhook with signature and TwiML")
async def test_the_query_of_the_webhook_reaches_the_session(address):
    passed = await parameters(address, StreamIdentity(), "?language=de&profile=code&other=x")

    assert passed.keys() == {"language", "profile", "caller", "token"}
    assert (passed["language"], passed["profile"], passed["caller"]) == ("de", "code", "+4930123456")


@proves("twilio", "twilio (Python) 9.13", "wrong signature is 403")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-twilio-signature": "x"},
        signed(f"{PUBLIC}/twilio/voice", FORM, "another token"),
        signed("http://127.0.0.1/twilio/voice", FORM),
        signed(f"{PUBLIC}/twilio/voice", {**FORM, "From": "+49"}),
    ],
)
async def test_a_webhook_that_is_not_signed_by_the_account_is_403(address, headers):
    """Whatever host it names itself."""
    answer = await webhook(address, headers={**headers, "x-forwarded-host": "voice.example.org"})

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("body", [b"\xff", b"a=1&" * 300, b"From=%0d%0a"])
async def test_a_form_that_cannot_be_read_is_400(address, body):
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.post(f"http://{address}/twilio/voice", content=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


@proves("twilio", "twilio (Python) 9.13", "full server rejects the call as busy")
async def test_a_full_server_rejects_the_call_as_busy(address, service):
    service.admission.max_sessions = 0
    answer = await webhook(address)

    assert ET.fromstring(answer.content).find("Reject").attrib == {"reason": "busy"}


async def test_without_an_account_there_are_no_such_routes():
    async with served(scripted_service()) as where:
        answer = await webhook(where)

    assert answer.status_code in (404, 405)


def start(call_sid: str, token: str, **media_format) -> str:
    audio = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1, **media_format}
    call = {"streamSid": "MZ1", "callSid": call_sid, "mediaFormat": audio, "customParameters": {"token": token}}
    return json.dumps({"event": "start", "start": call, "streamSid": "MZ1"})


async def closed_with(address: str, *frames: str | bytes, headers=None) -> int:
    async with connect(f"ws://{address}/twilio/stream", additional_headers=headers or {}) as socket:
        for frame in frames:
            await socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed, anyio.fail_after(15):
            while True:
                await socket.recv()
    return closed.value.rcvd.code


@proves("twilio", BY_HAND, "stream by the token of its call, once")
async def test_a_stream_needs_the_token_of_its_own_call_and_once(address):
    passed = await parameters(address, identity := StreamIdentity())
    own = start(identity.call_sid, passed["token"])

    assert await closed_with(address, start(identity.call_sid, "1.x")) == 1008
    assert await closed_with(address, start("CA2", passed["token"])) == 1008
    assert await closed_with(address, json.dumps({"event": "media", "media": {"payload": ""}})) == 1008
    assert await closed_with(address, "{", b"x") == 1008
    async with connect(f"ws://{address}/twilio/stream") as socket:
        await socket.send(json.dumps({"event": "connected", "protocol": "Call"}))
        await socket.send(own)
        assert await closed_with(address, own) == 1008
        await socket.send(json.dumps({"event": "stop", "stop": {}}))
        with anyio.fail_after(15):
            await socket.wait_closed()
        assert socket.close_code == 1000


@proves("twilio", BY_HAND, "signature of the handshake")
async def test_a_stream_with_a_wrong_signature_is_refused_at_the_handshake(address):
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{address}/twilio/stream", additional_headers={"x-twilio-signature": "x"}):
            pass
    assert refused.value.response.status_code == 403

    passed = await parameters(address, identity := StreamIdentity())
    right = signed("wss://voice.example.org/twilio/stream")
    async with connect(f"ws://{address}/twilio/stream", additional_headers=right) as socket:
        await socket.send(start(identity.call_sid, passed["token"]))
        await socket.send(json.dumps({"event": "stop"}))


@proves("twilio", BY_HAND, "other audio is refused")
@pytest.mark.parametrize("audio", [{"encoding": "audio/l16"}, {"sampleRate": 16000}, {"channels": 2}])
async def test_a_stream_of_other_audio_is_refused(address, audio):
    passed = await parameters(address, identity := StreamIdentity())

    assert await closed_with(address, start(identity.call_sid, passed["token"], **audio)) == 1008


async def test_messages_that_cannot_be_read_end_the_call_when_there_are_many(address):
    passed = await parameters(address, identity := StreamIdentity())
    broken = json.dumps({"event": "media", "media": {"payload": base64.b64encode(b"x").decode() + "*"}})

    assert await closed_with(address, start(identity.call_sid, passed["token"]), *[broken] * 60) == 1008
