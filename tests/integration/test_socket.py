"""The WebSocket endpoints end to end: sessions, malformed frames, admission, archive and metrics."""

import json
import logging
from urllib.request import urlopen

import anyio
import httpx
import msgspec
import pytest
from anyio import to_thread
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.runtime.supervision import defects, report_defect
from app.web.listener import MAX_MESSAGE_BYTES
from app.web.parley.packets import MAX_METADATA_BYTES, MAX_PCM_BYTES, pack
from tests.fakes import SILENCE, SPEECH
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 30
RATE = b'{"sampleRate":16000}'


@pytest.fixture
async def service():
    return scripted_service()


@pytest.fixture
async def address(service):
    async with served(service) as where:
        yield where


async def test_session_sends_draft_final_reply_and_reply_audio_in_order(address, service):
    """`session` first, then draft, final, reply in text and audio, and the whole reply at the end."""
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)

    kinds = [r.message["type"] for r in talk.received]
    assert kinds[0] == "session"
    order = ["realtime", "fullSentence", "replyStart", "replyDelta", "replyAudio", "server_response"]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    final = talk.messages("fullSentence")[0].message
    assert final["text"] == "hello"
    assert final["route"] == {"name": "local", "place": "on_prem"}
    assert final["end"] == pytest.approx(0.6)
    response = talk.messages("server_response")[0].message
    assert response["message"] == "You said it. Well done."
    assert response["audio"]
    assert all(r.message["sampleRate"] == 16000 for r in talk.messages("replyAudio"))
    assert sum(len(r.pcm) for r in talk.messages("replyAudio")) == 2 * 3200


async def test_a_client_that_asks_for_events_gets_them_around_the_same_turn(address):
    """Speech started and stopped around the final, the end of the turn before its reply; nobody else gets any."""
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_message(type="configure", events=True)
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        await talk.send_message(type="configure", events=False)
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: len(t.messages("server_response")) == 2, timeout_s=5)

    kinds = [r.message["type"] for r in talk.received]
    order = ["speechStarted", "realtime", "speechStopped", "turnEnd", "replyStart", "server_response"]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    assert kinds.index("speechStarted") < kinds.index("fullSentence") < kinds.index("turnEnd")
    assert [kinds.count(kind) for kind in ("speechStarted", "speechStopped", "turnEnd")] == [1, 1, 1]
    assert talk.messages("speechStarted")[0].message["at"] == 0.0
    assert talk.messages("speechStopped")[0].message["at"] == pytest.approx(0.6)
    assert talk.messages("turnEnd")[0].message["text"] == "hello"


async def test_clear_takes_back_what_was_said(address):
    """The utterance has an empty final, and is answered by nothing; what is said behind it is."""
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_message(type="configure", turns="manual")
        await talk.send_audio(SPEECH * 20, pace=0)
        assert await talk.wait_until(lambda t: t.messages("realtime"), timeout_s=5)
        await talk.send_message(type="clear")
        await talk.send_message(type="end")
        await talk.send_audio(TURN, pace=0)
        await talk.send_message(type="end")
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)

    assert [r.message["text"] for r in talk.messages("fullSentence")] == ["", "hello"]
    assert [r.message["text"] for r in talk.messages("replyStart")] == ["hello"]


async def test_raw_socket_accepts_pcm_without_packets(address):
    """/ws/raw: 16 kHz samples without a packet around them, the same answers."""
    async with connect(f"ws://{address}/ws/raw") as socket:
        await socket.send(TURN)
        with anyio.fail_after(5):
            kinds = [json.loads(await socket.recv())["type"] for _ in range(3)]

    assert kinds[0] == "session"
    assert "fullSentence" in kinds


BAD = {
    "too short": (b"\1\2", "bad_packet"),
    "empty": (b"", "bad_packet"),
    "negative length": ((-1).to_bytes(4, "little", signed=True) + RATE, "bad_packet"),
    "length beyond the packet": ((9999).to_bytes(4, "little") + RATE, "bad_packet"),
    "broken JSON": (pack(b'{"sampleRate":', SPEECH), "bad_metadata"),
    "JSON that is no object": (pack(b"[1]", SPEECH), "bad_metadata"),
    "no JSON at all": (pack(b"\xff\xfe\x00", SPEECH), "bad_metadata"),
    "no sampleRate": (pack(b"{}", SPEECH), "bad_metadata"),
    "sampleRate as text": (pack(b'{"sampleRate":"16000"}', SPEECH), "bad_metadata"),
    "sampleRate zero": (pack(b'{"sampleRate":0}', SPEECH), "bad_sample_rate"),
    "sampleRate huge": (pack(b'{"sampleRate":1e30}', SPEECH), "bad_sample_rate"),
    "sampleRate broken": (pack(b'{"sampleRate":16000.5}', SPEECH), "bad_sample_rate"),
    "odd bytes": (pack(RATE, SPEECH + b"\1"), "odd_pcm"),
    "a sample too many": (pack(RATE, bytes(MAX_PCM_BYTES + 2)), "frame_too_large"),
    "a megabyte of metadata": (pack(b" " * (MAX_PCM_BYTES + MAX_METADATA_BYTES + 1), b""), "frame_too_large"),
    "metadata nested 1000 deep": (pack(b'{"x":' + b"[" * 1000 + b"]" * 1000 + b"}", b""), "bad_metadata"),
    "text nested 1000 deep": ('{"type":"say","text":' + "[" * 1000 + "]" * 1000 + "}", "bad_message"),
    "text that is no JSON": ("hello", "bad_message"),
    "text without a type": ("{}", "bad_message"),
    "an unknown message": ('{"type":"sing"}', "unknown_message"),
    "say without text": ('{"type":"say"}', "bad_message"),
    "say nothing": ('{"type":"say","text":"  "}', "bad_message"),
    "a deadline nobody can keep": ('{"type":"configure","deadlineMs":10}', "bad_message"),
    "a deadline without end": ('{"type":"configure","deadlineMs":60001}', "bad_message"),
    "played before the first sample": ('{"type":"played","turn":1,"samples":-1}', "bad_message"),
    "played no number of samples": ('{"type":"played","turn":1}', "bad_message"),
    "events neither on nor off": ('{"type":"configure","events":"yes"}', "bad_message"),
    "turns of no mode": ('{"type":"configure","turns":"sometimes"}', "bad_message"),
    "a silence too short": ('{"type":"configure","turns":"silence","silenceMs":10}', "bad_message"),
    "a language that is none": ('{"type":"configure","language":"Klingon"}', "unknown_language"),
}


@pytest.mark.parametrize("name", BAD)
async def test_malformed_frame_gets_its_error_code_and_the_session_goes_on(address, caplog, name):
    """No traceback is logged, and the next valid packet is transcribed."""
    frame, code = BAD[name]
    with caplog.at_level(logging.DEBUG):
        async with open_session(f"ws://{address}/ws/transcribe") as talk:
            await talk.socket.send(frame)
            assert await talk.wait_until(lambda t: t.messages("error"), timeout_s=5)
            await talk.send_audio(TURN, pace=0)
            assert await talk.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)

    (error,) = talk.messages("error")
    assert (error.message["code"], error.message["fatal"]) == (code, False)
    assert not [record for record in caplog.records if record.exc_info]


async def test_client_with_too_many_bad_frames_is_closed_with_1008(address):
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        for _ in range(60):
            await talk.socket.send(b"\1")
        assert await talk.wait_until(lambda t: t.closed, timeout_s=5) or talk.closed

    assert talk.closed[0] == 1008
    assert talk.messages("error")[-1].message["fatal"]


@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES + 1, 40 << 20])
async def test_frame_above_the_transport_limit_closes_that_socket_alone(address, size):
    """1009; the server accepts further sessions."""
    async with connect(f"ws://{address}/ws/transcribe", max_size=None) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.send(bytes(size))
            while True:
                await socket.recv()
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        assert await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)


async def test_audio_and_last_final_of_an_aborted_connection_are_archived(address, service):
    """Every accepted sample is archived, in exactly one final."""
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_audio(SPEECH * 20, pace=0)
        assert await talk.wait_until(lambda t: t.messages("realtime"), timeout_s=5)
        session = talk.messages("session")[0].message["id"]
        talk.socket.transport.abort()

    manifest = await stored_manifest(service, session)

    assert manifest["samples"] == 20 * 480
    assert [(f["start"], f["end"], f["text"]) for f in manifest["finals"]] == [(0, 20 * 480, "hello")]


async def test_ack_reports_durable_audio(address):
    """In the end all that was sent, in increasing numbers, each at most once."""
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(
            lambda t: t.messages("ack") and t.messages("ack")[-1].message["seconds"] == 1.5, timeout_s=5
        )

    told = [ack.message["seconds"] for ack in talk.messages("ack")]
    assert told == sorted(set(told))


async def test_session_with_archive_false_leaves_nothing_in_log_or_store(address, service):
    """`archive: false` before the first audio: no log, no blob, no `ack`; it cannot be taken back later."""
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_message(type="configure", archive=False)
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        await talk.send_message(type="configure", archive=True)
        assert await talk.wait_until(lambda t: t.messages("error"), timeout_s=5)

    assert talk.messages("ack") == []
    assert (service.uploader.session_log.records, service.store.blobs) == ({}, {})


async def test_full_archive_refuses_new_sessions_with_1013(address, service):
    """As where every session slot is taken; /health says why."""
    service.uploader.session_log.has_space = False
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.wait_until(lambda t: t.closed, timeout_s=5)
    answer = await to_thread.run_sync(lambda: urlopen(f"http://{address}/health", timeout=5).read())

    assert talk.closed[0] == 1013
    assert msgspec.json.decode(answer)["archive"]["full"]


async def test_session_beyond_max_sessions_is_refused_with_1013(address, service):
    """With a sentence; the open session is not affected."""
    service.admission.max_sessions = 1
    async with open_session(f"ws://{address}/ws/transcribe") as inside:
        assert await inside.wait_until(lambda t: t.messages("session"), timeout_s=5)
        async with open_session(f"ws://{address}/ws/transcribe") as outside:
            await outside.wait_until(lambda t: t.closed, timeout_s=5)
        await inside.send_audio(TURN, pace=0)
        assert await inside.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)

    assert outside.closed[0] == 1013
    assert outside.messages("error")[0].message["code"] == "no_capacity"


@pytest.mark.parametrize(("origin", "code"), [("http://evil.example", 1008), (None, None), ("self", None)])
async def test_foreign_web_origin_is_refused_with_1008(address, origin, code):
    """A foreign page cannot use a visitor's browser; no Origin means no browser."""
    headers = {} if origin is None else {"Origin": f"http://{address}" if origin == "self" else origin}
    async with connect(f"ws://{address}/ws/transcribe", additional_headers=headers) as socket:
        first = msgspec.json.decode(await socket.recv())
        if code is None:
            assert first["type"] == "session"
        else:
            assert first["code"] == "origin_refused"
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == code


async def test_audio_duration_is_kept_when_the_sample_rate_changes_within_a_session(address, service):
    """To within what the resampling filter adds at each change."""
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        for rate in (48_000, 8_000, 16_000, 96_000):
            await talk.socket.send(pack(b'{"sampleRate":%d}' % rate, bytes(2 * rate)))
        session = (await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)) and talk.messages("session")[
            0
        ].message["id"]
    manifest = await stored_manifest(service, session)

    assert manifest["samples"] == pytest.approx(4 * 16_000, abs=16)


async def test_health_reports_status_and_components(address):
    answer = await to_thread.run_sync(lambda: urlopen(f"http://{address}/health", timeout=5).read())

    body = msgspec.json.decode(answer)
    assert body["status"] == "ok"
    assert body["runs"] == {"finals": "scripted"}


async def test_metrics_report_open_sessions_the_spool_and_the_latencies_of_a_turn(address):
    async with open_session(f"ws://{address}/ws/transcribe") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("server_response"), timeout_s=5)
        metrics = await scraped(address)

    assert (metrics["parley_sessions"], metrics["parley_sessions_most"]) == (1.0, 4.0)
    assert {"parley_spool_sessions", "parley_spool_bytes", "parley_spool_oldest_seconds"} <= set(metrics)
    assert metrics["parley_ttfs_seconds_count"] == metrics["parley_voice_to_voice_seconds_count"] == 1
    assert metrics['parley_replies_total{outcome="complete"}'] == 1


async def test_metrics_count_unexpected_exceptions(address):
    report_defect("test", KeyError())

    metrics = await scraped(address)

    assert metrics['parley_defects_total{where="test"}'] == defects["test"] >= 1


async def scraped(address: str) -> dict[str, float]:
    """Every sample of /metrics by its name and labels; none twice."""
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://{address}/metrics")
    lines = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    assert len({name for name, _ in lines}) == len(lines)
    return {name: float(value) for name, value in lines}
