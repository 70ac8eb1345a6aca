"""The WebSocket at `/`: clients of earlier servers, told apart by their first frame."""

import base64
import json
import struct
from contextlib import aclosing

import anyio
import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.domain.errors import ClientError, ClientFault
from app.domain.tenant import Tenant, fingerprint
from app.web.parley.packets import pack
from bench.protocols.realtimestt import open_realtimestt
from tests.fakes import SILENCE, SPEECH
from tests.proven_features import proves
from tests.serving import scripted_service, served, stored_manifest

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


# -- RealtimeSTT's FastAPI page --------------------------------------------------------------------------


FASTAPI_PAGE = "RealtimeSTT's FastAPI page 1.1 (frames)"


@pytest.fixture
async def transcribe_url(service):
    async with served(service) as address:
        yield f"ws://{address}/ws/transcribe"


async def command(socket, kind: str) -> None:
    await socket.send(json.dumps({"type": kind}))


async def speak(socket, pcm: bytes, rate: int = 48_000) -> None:
    """As the page does, some 40 ms a packet at the rate of the device."""
    for at in range(0, len(pcm), 3840):
        frames = len(pcm[at : at + 3840]) // 2
        about = {"sampleRate": rate, "channels": 1, "format": "pcm_s16le", "frames": frames, "sentAt": 1234.5}
        await socket.send(pack(json.dumps(about).encode(), pcm[at : at + 3840]))


@proves("earlier-clients", FASTAPI_PAGE, "drafts and finals", "end of audio", "times of segments")
async def test_fastapi_page_gets_its_own_messages_from_its_first_command_on(transcribe_url):
    """It pings while it waits for the microphone, starts, and stops in the middle of speech."""
    async with connect(transcribe_url) as socket:
        await command(socket, "ping")
        begun = await until(socket, lambda m: m["type"] == "pong")
        await command(socket, "start")
        await speak(socket, SPEECH * 60 + SILENCE * 120)
        first = await until(socket, lambda m: m["type"] == "final")
        await speak(socket, SPEECH * 60)
        await command(socket, "stop")
        second = await until(socket, lambda m: m["type"] == "final")

    session = begun[0]["id"]
    assert [m["type"] for m in begun] == ["session", "hello", "ready", "pong"]
    assert {m["sessionId"] for m in [*begun[1:], *first, *second]} == {session}
    assert begun[1]["clientId"] == session
    kinds = {"status", "timeline", "realtime", "final"}
    assert {m["type"] for m in [*first, *second]} == kinds
    draft = next(m for m in first if m["type"] == "realtime")
    assert (draft["segmentId"], draft["text"], draft["displayText"]) == (1, "draft", "draft")
    assert draft["stableText"] + draft["unstableText"] == draft["text"]
    final = first[-1]
    assert (final["segmentId"], final["text"]) == (1, "hello")
    assert 0 < final["segment"]["durationSeconds"] <= 60 * 480 / 48_000 + 0.2
    assert [m["event"] for m in first if m["type"] == "timeline"] == ["recording_started", "recording_ended"]
    assert [m["state"] for m in first if m["type"] == "status"] == ["listening", "recording", "transcribing"]
    assert (second[-1]["segmentId"], second[-1]["text"]) == (2, "hello")


@proves("earlier-clients", FASTAPI_PAGE, "drafts and finals", "end of audio")
async def test_client_that_waits_for_ready_says_who_it_is_in_its_address(transcribe_url):
    """The benchmark's client, which was written for RealtimeSTT's own server and run against it."""
    async with open_realtimestt(f"{transcribe_url}?client=realtimestt", reply=False) as connection:
        for at in range(0, len(SPEECH * 30), 1280):
            await connection.send((SPEECH * 30)[at : at + 1280])
        await connection.finish()
        events = []
        async with aclosing(connection.events()) as received:
            async for event in received:
                events.append(event)
                if event.kind == "final":
                    break

    assert {event.kind for event in events[:-1]} <= {"draft"}
    assert (events[-1].text, events[-1].utterance) == ("hello", "1")


async def test_client_that_says_who_it_is_gets_no_message_of_parleys(transcribe_url):
    async with connect(f"{transcribe_url}?client=realtimestt") as socket:
        begun = [json.loads(await socket.recv()) for _ in range(2)]
        await command(socket, "ping")
        begun += await until(socket, lambda m: m["type"] == "pong")

    assert [m["type"] for m in begun] == ["hello", "ready", "pong"]
    assert {m["sessionId"] for m in begun} == {begun[0]["clientId"]}


@proves("earlier-clients", FASTAPI_PAGE, "clear")
async def test_cleared_segment_is_not_shown_again(transcribe_url):
    """Neither its drafts nor its final, and the next one has the next number."""
    async with connect(transcribe_url) as socket:
        await command(socket, "start")
        await speak(socket, SPEECH * 90)
        await until(socket, lambda m: m["type"] == "realtime")
        await command(socket, "clear")
        (cleared,) = [m for m in await until(socket, lambda m: m["type"] == "clear") if m["type"] == "clear"]
        await speak(socket, SILENCE * 120 + SPEECH * 60 + SILENCE * 120)
        after = await until(socket, lambda m: m["type"] == "final")

    assert cleared["nextSegmentId"] == 2
    assert {m["segmentId"] for m in after if m["type"] in {"realtime", "final"}} == {after[-1]["segmentId"]}
    assert after[-1]["segmentId"] >= 2
    assert after[-1]["text"] == "hello"


@proves("earlier-clients", FASTAPI_PAGE, "metrics", "refusal with a sentence")
async def test_fastapi_page_is_answered_what_it_asks_and_where_it_is_wrong(transcribe_url):
    async with connect(transcribe_url) as socket:
        await command(socket, "metrics")
        asked = await until(socket, lambda m: m["type"] == "metrics")
        await socket.send(b"\1\0\0\0")
        packet = await until(socket, lambda m: m["type"] == "error")
        await command(socket, "sing")
        unknown = await until(socket, lambda m: m["type"] == "error")
        await speak(socket, SPEECH * 60 + SILENCE * 120)
        after = await until(socket, lambda m: m["type"] == "final")

    assert asked[-1]["metrics"] == {"currentSegmentId": 0}
    assert (packet[-1]["where"], unknown[-1]["where"]) == ("audio_packet", "command")
    assert packet[-1]["message"]
    assert after[-1]["text"] == "hello"


async def test_client_that_never_sends_such_a_command_gets_parleys_messages(transcribe_url):
    """Parley's own `clear` included."""
    async with connect(transcribe_url) as socket:
        await command(socket, "clear")
        await speak(socket, SPEECH * 60 + SILENCE * 120)
        messages = await until(socket, lambda m: m["type"] == "fullSentence")

    assert {m["type"] for m in messages} <= {"session", "realtime", "fullSentence", "ack"}


@proves("earlier-clients", FASTAPI_PAGE, "full server")
async def test_fastapi_page_on_a_full_server_gets_an_error_and_1013(transcribe_url):
    async with connect(transcribe_url) as first, connect(transcribe_url) as second:
        await until(first, lambda m: m["type"] == "session")
        refused = json.loads(await second.recv())
        with pytest.raises(ConnectionClosed):
            await second.recv()

    assert (refused["type"], refused["code"], second.close_code) == ("error", "no_capacity", 1013)


async def test_fastapi_page_is_told_in_its_words_why_its_session_ends(service, transcribe_url):
    async with connect(transcribe_url) as socket:
        await command(socket, "start")
        ready = await until(socket, lambda m: m["type"] == "ready")
        session = service.running_sessions.sessions[ready[-1]["sessionId"]]
        session.end(ClientError(ClientFault.ENDED_BY_ADMIN, "enough", fatal=True))
        last = (await until(socket, lambda m: m["type"] == "error"))[-1]
        with pytest.raises(ConnectionClosed):
            await socket.recv()

    assert (last["where"], last["message"], socket.close_code) == ("session", "enough", 1008)


async def test_session_of_the_fastapi_page_is_of_its_tenant_and_recorded():
    """As any other: its key, its limits, its archive."""
    acme = Tenant("acme", (fingerprint("acme-key"),))
    service = scripted_service(tenants=lambda: (acme,))
    async with served(service) as address:
        url, key = f"ws://{address}/ws/transcribe", {"Authorization": "Bearer acme-key"}
        async with connect(url) as nobody:
            assert json.loads(await nobody.recv())["code"] == "unauthorized"
        async with connect(url, additional_headers=key) as socket:
            await command(socket, "start")
            ready = await until(socket, lambda m: m["type"] == "ready")
            await speak(socket, SPEECH * 60 + SILENCE * 120)
            await until(socket, lambda m: m["type"] == "final")
        manifest = await stored_manifest(service, ready[-1]["sessionId"])

    assert manifest["tenant"] == "acme"
    assert manifest["finals"][0]["text"] == "hello"
