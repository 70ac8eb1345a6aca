"""The WebSocket at `/`: clients of earlier servers, told apart by their first frame."""

import base64
import json
import struct

import anyio
import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.domain.tenant import Tenant, fingerprint
from app.web.parley.packets import pack
from tests.fakes import SILENCE, SPEECH
from tests.proven_features import proves
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio
REALTIMESTT = "RealtimeSTT's browser example (frames)"
WHISPERLIVE = "WhisperLive 0.10 (frames)"
EARLIER_SERVER = "clients of the server on port 8765 (frames)"
"""Their frames are sent by hand, as these clients send them."""
TURN = SPEECH * 20 + SILENCE * 160
"""Behind it are 3.2 seconds of silence and more."""


@pytest.fixture
async def service():
    return scripted_service(max_sessions=1)


@pytest.fixture
async def url(service):
    async with served(service) as address:
        yield f"ws://{address}/"


async def until(socket, found) -> list[dict]:
    """Every message up to the first that is the one."""
    seen = []
    with anyio.fail_after(15):
        while True:
            seen.append(json.loads(await socket.recv()))
            if found(seen[-1]):
                return seen


async def send_in_pieces(socket, data: bytes, size: int) -> None:
    for at in range(0, len(data), size):
        await socket.send(data[at : at + size])


@proves("earlier-clients", REALTIMESTT, "drafts and finals")
async def test_packets_at_the_root_get_drafts_and_finals(url):
    """The page of RealtimeSTT's browser example: 256 samples a packet, and it ignores other types."""
    async with connect(url) as socket:
        for at in range(0, len(TURN), 512):
            await socket.send(pack(b'{"sampleRate": 16000}', TURN[at : at + 512]))
        messages = await until(socket, lambda m: m["type"] == "fullSentence")

    assert "realtime" in {message["type"] for message in messages}
    assert messages[-1]["text"] == "hello"


@proves("earlier-clients", EARLIER_SERVER, "reply with audio")
async def test_bare_audio_gets_the_reply_after_three_seconds_of_silence_and_nothing_else(url):
    """Frames may end within a sample; texts mean nothing."""
    async with connect(url) as socket:
        await socket.send(TURN[:1000])
        await socket.send("text")
        await send_in_pieces(socket, TURN[1000:], 1601)
        messages = await until(socket, lambda _: True)

    assert messages[0].keys() == {"type", "turn", "message", "audio"}
    assert messages[0]["type"] == "server_response"
    assert messages[0]["message"] == "You said it. Well done."
    assert base64.b64decode(messages[0]["audio"])[:3] in (b"ID3", b"\xff\xf3\x84", b"\xff\xfb\x50", b"\xff\xf3\x44")


@proves("earlier-clients", EARLIER_SERVER, "drafts and finals")
async def test_bare_audio_with_drafts_gets_parleys_messages(url):
    async with connect(f"{url}?drafts=1") as socket:
        await send_in_pieces(socket, TURN, 1600)
        messages = await until(socket, lambda m: m["type"] == "fullSentence")

    assert messages[0]["type"] == "session"


def options(**fields) -> str:
    return json.dumps(
        {"uid": "u-1", "language": None, "task": "transcribe", "model": "small", "use_vad": True, **fields}
    )


def floats(pcm: bytes) -> bytes:
    return (np.frombuffer(pcm, "<i2").astype("<f4") / 32767).tobytes()


@proves("earlier-clients", WHISPERLIVE, "drafts and finals", "times of segments", "end of audio")
async def test_whisperlive_gets_segments_with_times_as_texts(url):
    """4096 samples of float32 a frame; `END_OF_AUDIO` flushes, and the end is told."""
    async with connect(url) as socket:
        await socket.send(options())
        ready = json.loads(await socket.recv())
        await send_in_pieces(socket, floats(SPEECH * 20 + SILENCE * 60), 16384)
        messages = await until(socket, lambda m: any(s["completed"] for s in m.get("segments", [])))
        await send_in_pieces(socket, floats(SPEECH * 20), 16384)
        await socket.send(b"END_OF_AUDIO")
        rest = await until(socket, lambda m: m.get("message") == "DISCONNECT")

    assert ready == {"uid": "u-1", "message": "SERVER_READY", "backend": "faster_whisper"}
    assert {message["uid"] for message in [*messages, *rest]} == {"u-1"}
    (done,) = messages[-1]["segments"]
    assert done["text"] == "hello"
    assert 0 <= float(done["start"]) < float(done["end"]) < 3
    assert [s["completed"] for s in rest[-2]["segments"]] == [True, True]


@proves("earlier-clients", WHISPERLIVE, "other formats of audio")
@pytest.mark.parametrize(
    ("form", "encoded"),
    [
        ("int16", lambda pcm: pcm),
        ("float32", lambda pcm: struct.pack("<f", float("nan")) + floats(pcm)),
    ],
)
async def test_whisperlive_audio_may_have_other_formats(url, form, encoded):
    loud = b"\x01\x40" * (len(SPEECH) // 2)
    async with connect(url) as socket:
        await socket.send(options(audio_format=form))
        await send_in_pieces(socket, encoded(loud * 20 + SILENCE * 60), 1600)
        messages = await until(socket, lambda m: any(s["completed"] for s in m.get("segments", [])))

    assert messages[-1]["segments"][0]["text"] == "hello"


async def test_whisperlive_keeps_as_many_segments_as_the_client_wants(url):
    async with connect(url) as socket:
        await socket.send(options(send_last_n_segments=1))
        await send_in_pieces(socket, floats((SPEECH * 20 + SILENCE * 60) * 2), 16384)
        messages = await until(
            socket, lambda m: any(s["completed"] and float(s["start"]) > 2 for s in m.get("segments", []))
        )

    assert {len(m["segments"]) for m in messages if "segments" in m} == {1}


@proves("earlier-clients", WHISPERLIVE, "refusal with a sentence")
@pytest.mark.parametrize(
    ("fields", "words"),
    [({"task": "translate"}, "transcribe"), ({"language": "xx"}, "xx"), ({"audio_format": "mp3"}, "audio_format")],
)
async def test_whisperlive_is_told_what_is_not_served(url, fields, words):
    async with connect(url) as socket:
        await socket.send(options(**fields))
        told = json.loads(await socket.recv())
        with pytest.raises(ConnectionClosed):
            await socket.recv()

    assert (told["uid"], told["status"]) == ("u-1", "ERROR")
    assert words in told["message"]


@proves("earlier-clients", WHISPERLIVE, "full server")
async def test_whisperlive_waits_where_every_place_is_taken(url):
    async with connect(url) as first, connect(url) as second:
        await first.send(options())
        await first.recv()
        await second.send(options(uid="u-2"))
        message = json.loads(await second.recv())

    assert message == {"uid": "u-2", "status": "WAIT", "message": 1}


@proves("earlier-clients", REALTIMESTT, "refusal of the control socket")
async def test_control_socket_of_realtimestt_is_refused(url):
    async with connect(url) as socket:
        await socket.send(json.dumps({"command": "set_parameter", "parameter": "x", "value": 1}))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd.code == 1008


async def test_root_asks_for_a_key_where_the_server_has_keys():
    service = scripted_service(tenants=lambda: (Tenant("acme", (fingerprint("acme-key"),)),))
    async with served(service) as address, connect(f"ws://{address}/") as socket:
        told = json.loads(await socket.recv())

    assert told["code"] == "unauthorized"


async def test_page_is_still_at_the_root(url):
    async with httpx.AsyncClient() as client:
        page = await client.get(url.replace("ws", "http"))

    assert page.status_code == 200
    assert "<html" in page.text
