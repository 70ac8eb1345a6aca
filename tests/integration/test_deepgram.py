"""Deepgram's `/v1/listen`, Flux and `/v1/speak` with Deepgram's own client, and with frames by hand."""

import json
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.domain.audio import AudioChunk
from app.domain.recording.wav import wav_header
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant, fingerprint
from app.domain.transcript import Word
from app.runtime.dialog.engines import Engines
from tests.client_environments import node_client, python_client
from tests.clips import HANDS
from tests.fakes import (
    SILENCE,
    SPEECH,
    ScriptedDetector,
    ScriptedSynthesizer,
    ScriptedTranscriber,
    ScriptedTurnDetector,
    SingleRouteFinals,
)
from tests.proven_features import BY_HAND, proves
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio

KEY = "acme-key"
ACME = Tenant("acme", (fingerprint(KEY),))
WORDS = (Word("hello", 1600, 8000, 0.75), Word("there.", 8000, 12_000, 0.5))


@pytest.fixture(scope="session")
def deepgram_sdk():
    return python_client("deepgram", "deepgram-sdk==7.17.0")


@pytest.fixture(scope="session")
def deepgram_npm():
    return node_client("deepgram-npm", "@deepgram/sdk@5.13.0")


@asynccontextmanager
async def server(transcriber=None, **changes):
    transcriber = transcriber or ScriptedTranscriber("Hello there.", words=WORDS)
    engines = Engines(
        ScriptedDetector(),
        SingleRouteFinals(Route("local", Place.ON_PREM), transcriber),
        ScriptedTranscriber("hello"),
        synthesizer=ScriptedSynthesizer(),
        turn_detector=ScriptedTurnDetector(0.9),
    )

    @asynccontextmanager
    async def session_engines(session, tenant):
        yield engines

    service = scripted_service(session_engines=session_engines, tenants=lambda: (ACME,), **changes)
    state = service.initial_state
    service.initial_state = replace(state, rules=replace(state.rules, score_end_of_turn=True))
    async with served(service) as address:
        yield address


def dial(address, path, **options):
    return connect(f"ws://{address}{path}", additional_headers={"Authorization": f"Token {KEY}"}, **options)


async def until_closed(socket) -> tuple[list[dict], int]:
    messages = []
    with anyio.fail_after(20):
        with suppress(ConnectionClosed):
            while True:
                messages.append(json.loads(await socket.recv()))
    return messages, socket.close_code


def texts(messages: list[dict], **flags: bool) -> list[str]:
    return [
        each["channel"]["alternatives"][0]["transcript"]
        for each in messages
        if each["type"] == "Results" and all(each[name] == value for name, value in flags.items())
    ]


# -- Deepgram's client ---------------------------------------------------------------------------------


@proves(
    "deepgram",
    "deepgram-sdk (Python) 7.17",
    "listen: interims and finals with words",
    "listen: SpeechStarted and UtteranceEnd",
    "listen: KeepAlive",
    "listen: Finalize",
    "listen: CloseStream and Metadata",
    "listen: file with utterances",
    "Flux: turns, eager end",
    "Flux: Configure",
    "Flux: ForceEndTurn",
    "speak: socket with Flush and Clear",
    "speak: text",
    "refusals at the handshake",
)
async def test_deepgram_sdk_streams_turns_speaks_and_sends_files(deepgram_sdk):
    async with server() as address:
        found = await deepgram_sdk.run("deepgram_streams.py", address, KEY, str(HANDS.path), timeout_s=90)

    listened = found["listen"]["messages"]
    assert found["listen"]["failures"] == []
    assert texts(listened, is_final=True, from_finalize=False)[0] == "Hello there."
    assert texts(listened, from_finalize=True) == ["Hello there.", ""]
    assert texts(listened, is_final=True) == ["Hello there.", "Hello there.", "", "Hello there."]
    assert all(text == "hello" for text in texts(listened, is_final=False))
    started = [each["timestamp"] for each in listened if each["type"] == "SpeechStarted"]
    assert len(started) == 3
    first = next(each for each in listened if each["type"] == "Results" and each["is_final"])
    words = first["channel"]["alternatives"][0]["words"]
    assert [(word["word"], word["punctuated_word"]) for word in words] == [("hello", "hello"), ("there", "there.")]
    assert words[0]["end"] == pytest.approx(first["start"] + 0.5, abs=0.35)
    (ended,) = [each for each in listened if each["type"] == "UtteranceEnd"]
    assert ended["last_word_end"] == words[-1]["end"]
    assert listened[-1]["type"] == "Metadata"
    assert listened[-1]["duration"] == pytest.approx((30 * 3 + 60) * 0.03, abs=0.1)

    turned = found["flux"]["messages"]
    assert found["flux"]["failures"] == []
    assert turned[0]["type"] == "Connected"
    assert [each["sequence_id"] for each in turned] == list(range(len(turned)))
    assert events_in_order([each for each in turned if each["type"] == "TurnInfo"])
    ends = [each for each in turned if each.get("event") == "EndOfTurn"]
    assert [(each["turn_index"], each["transcript"], each["trigger"]) for each in ends] == [
        (0, "Hello there.", "model"),
        (1, "Hello there.", "manual"),
    ]
    assert any(each.get("event") == "EagerEndOfTurn" for each in turned)
    (configured,) = [each for each in turned if each["type"] == "ConfigureSuccess"]
    assert configured["thresholds"]["eot_threshold"] == 0.8

    spoken = found["speak"]["messages"]
    assert spoken[0]["type"] == "Metadata"
    assert [each["sequence_id"] for each in spoken if each.get("type") == "Flushed"] == [0, 1]
    assert sum(each.get("bytes", 0) for each in spoken) == 2 * 2 * 2400
    assert found["speak"]["failures"] == []

    heard = found["file"]["results"]
    assert heard["channels"][0]["alternatives"][0]["transcript"] == heard["utterances"][0]["transcript"] == "hello"
    assert found["file"]["metadata"]["duration"] == pytest.approx(3.54, abs=0.01)
    assert found["speech"] == 2 * 2400
    assert {name: refused[0] for name, refused in found["refused"].items()} == {
        "key": 401,
        "encoding": 400,
        "language": 400,
        "no audio": 400,
        "link": 400,
    }
    assert found["refused"]["key"][1].startswith("INVALID_AUTH: ")


@proves(
    "deepgram",
    "@deepgram/sdk (npm) 5.13",
    "listen: interims and finals with words",
    "listen: SpeechStarted and UtteranceEnd",
    "listen: KeepAlive",
    "listen: Finalize",
    "listen: CloseStream and Metadata",
    "listen: file with utterances",
    "Flux: turns, eager end",
    "Flux: Configure",
    "Flux: ForceEndTurn",
    "speak: text",
)
async def test_deepgram_sdk_of_npm_streams_speaks_and_sends_files(deepgram_npm):
    """It connects once more after any close code but 1000, and does not here."""
    async with server() as address:
        found = await deepgram_npm.run("deepgram.mjs", address, KEY, str(HANDS.path), timeout_s=90)

    stream = found["listen"]
    messages = stream["messages"]
    assert (stream["errors"], stream["code"]) == ([], 1000)
    assert texts(messages, is_final=True) == ["Hello there."] * 3
    assert texts(messages, from_finalize=True) == ["Hello there."]
    assert set(texts(messages, is_final=False)) == {"hello"}
    assert sum(each["type"] == "SpeechStarted" for each in messages) == 3
    (ended,) = [each for each in messages if each["type"] == "UtteranceEnd"]
    assert ended["last_word_end"] > 0
    assert messages[-1]["type"] == "Metadata"
    assert messages[-1]["duration"] == pytest.approx((30 * 3 + 60) * 0.03, abs=0.1)

    flux = found["flux"]
    turned = flux["messages"]
    assert (flux["errors"], flux["code"]) == ([], 1000)
    assert [each["sequence_id"] for each in turned] == list(range(len(turned)))
    assert events_in_order([each for each in turned if each["type"] == "TurnInfo"])
    ends = [(each["transcript"], each["trigger"]) for each in turned if each.get("event") == "EndOfTurn"]
    assert ends == [("Hello there.", "model"), ("Hello there.", "manual")]
    assert any(each.get("event") == "EagerEndOfTurn" for each in turned)

    answered = found["file"]["results"]
    assert (
        answered["channels"][0]["alternatives"][0]["transcript"] == answered["utterances"][0]["transcript"] == "hello"
    )
    assert found["file"]["metadata"]["duration"] == pytest.approx(3.54, abs=0.01)
    assert found["refusal"]["status"] == 401
    assert found["refusal"]["body"]["err_code"] == "INVALID_AUTH"
    assert found["speak"]["bytes"] == 2 * 2400


def events_in_order(infos: list[dict]) -> bool:
    """As Flux promises: a turn starts, is updated, perhaps eager and resumed, and ends as it was eager."""
    eager, begun = None, False
    for info in infos:
        event = info["event"]
        assert begun == (event != "StartOfTurn"), infos
        if event == "TurnResumed":
            assert eager is not None
            eager = None
        elif event == "EagerEndOfTurn":
            assert info["transcript"]
            eager = info["transcript"]
        elif event == "EndOfTurn":
            assert eager in (None, info["transcript"])
            eager = None
        else:
            assert eager is None
        begun = event != "EndOfTurn"
    return True


# -- Streams -----------------------------------------------------------------------------------------


@proves("deepgram", BY_HAND, "listen: linear16, linear32, mulaw, alaw, two channels")
@pytest.mark.parametrize(
    ("query", "pieces"),
    [
        ("encoding=linear16&sample_rate=16000", [SPEECH, SILENCE]),
        ("encoding=linear32&sample_rate=16000", [b"\0\0\1\0" * 480, bytes(1920)]),
        ("encoding=mulaw&sample_rate=8000", [b"\x80" * 240, b"\xff" * 240]),
        ("encoding=alaw&sample_rate=8000", [b"\xaa" * 240, b"\xd5" * 240]),
        ("encoding=linear16&sample_rate=48000&channels=2", [b"\1\0" * 2880, bytes(5760)]),
    ],
)
async def test_every_encoding_is_transcribed(query, pieces):
    speech, silence = pieces
    async with server() as address, dial(address, f"/v1/listen?{query}") as socket:
        for piece in [speech] * 30 + [silence] * 60:
            await socket.send(piece)
        await socket.send('{"type":"CloseStream"}')
        messages, code = await until_closed(socket)

    assert "Hello there." in texts(messages, is_final=True)
    assert code == 1000


@proves("deepgram", BY_HAND, "listen: WAV without an encoding", "listen: CloseStream and Metadata")
async def test_wav_without_an_encoding_is_read_by_its_head_in_pieces():
    file = wav_header(48_000) + SPEECH * 30 + SILENCE * 60
    async with server() as address, dial(address, "/v1/listen") as socket:
        for start in range(0, len(file), 777):
            await socket.send(file[start : start + 777])
        await socket.send(b"")  # as old clients end a stream
        messages, code = await until_closed(socket)

    assert texts(messages, is_final=True) == ["Hello there."]
    assert (messages[-1]["type"], code) == ("Metadata", 1000)


async def test_what_is_no_wav_without_an_encoding_closes_with_an_error():
    async with server() as address, dial(address, "/v1/listen") as socket:
        await socket.send(b"OggS" + bytes(400))
        messages, code = await until_closed(socket)

    assert messages[-1]["type"] == "Error"
    assert (code, socket.close_reason) == (1008, "DATA-0000")


@proves("deepgram", BY_HAND, "listen: Finalize")
async def test_each_finalize_is_answered_exactly_once_and_in_order():
    """Without words pending with an empty text; the audio behind it belongs to the next result."""
    async with server() as address, dial(address, "/v1/listen?encoding=linear16&sample_rate=16000") as socket:
        for _ in range(2):
            await socket.send('{"type":"Finalize"}')
        await socket.send(SPEECH * 30)
        await socket.send('{"type":"Finalize"}')
        await socket.send(SPEECH * 30)
        await socket.send('{"type":"Finalize"}')
        await socket.send('{"type":"CloseStream"}')
        messages, _ = await until_closed(socket)

    assert texts(messages, from_finalize=True) == ["", "", "Hello there.", "Hello there."]
    finals = [each for each in messages if each["type"] == "Results" and each["is_final"]]
    ends = [round(each["start"] + each["duration"], 3) for each in finals]
    assert [each["start"] for each in finals[1:]] >= ends[:-1]
    assert ends == sorted(ends)


async def test_interims_come_where_they_are_asked_for_alone():
    async with server() as address, dial(address, "/v1/listen?encoding=linear16&sample_rate=16000") as socket:
        await socket.send(SPEECH * 30 + SILENCE * 60)
        await socket.send('{"type":"CloseStream"}')
        messages, _ = await until_closed(socket)

    assert {each["type"] for each in messages} == {"Results", "Metadata"}
    assert all(each["is_final"] for each in messages if each["type"] == "Results")


@proves("deepgram", BY_HAND, "listen: KeepAlive")
async def test_client_that_sends_nothing_is_closed_and_one_that_keeps_alive_is_not(monkeypatch):
    monkeypatch.setattr("app.web.deepgram.routes.IDLE_TIMEOUT_S", 0.5)
    async with server() as address, dial(address, "/v1/listen?encoding=linear16") as socket:
        for _ in range(10):
            await socket.send('{"type":"KeepAlive"}')
            await anyio.sleep(0.1)
        await socket.send('{"type":"Finalize"}')
        first = json.loads(await socket.recv())
        messages, code = await until_closed(socket)

    assert first["from_finalize"]
    assert (messages[-1]["type"], code, socket.close_reason) == ("Error", 1011, "NET-0001")


@proves("deepgram", BY_HAND, "key as a subprotocol")
@pytest.mark.parametrize("offered", [["token", KEY], ["bearer", KEY]])
async def test_key_as_a_subprotocol_is_taken_and_its_scheme_selected(offered):
    async with (
        server() as address,
        connect(f"ws://{address}/v1/listen?encoding=linear16", subprotocols=offered) as socket,
    ):
        assert socket.subprotocol == offered[0]
        assert "dg-request-id" in socket.response.headers


@proves("deepgram", BY_HAND, "refusals at the handshake")
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/listen?encoding=opus", 400, "bad_message"),
        ("/v1/listen?sample_rate=1", 400, "bad_message"),
        ("/v1/listen?interim_results=perhaps", 400, "bad_message"),
        ("/v1/listen?multichannel=true&channels=2", 400, "bad_message"),
        ("/v2/listen?eot_threshold=7", 400, "bad_message"),
        ("/v2/listen?eager_eot_threshold=0.1", 400, "bad_message"),
        ("/v1/speak?encoding=mp3", 400, "bad_message"),
    ],
)
async def test_bad_query_is_refused_at_the_handshake(path, status, code):
    async with server() as address:
        with pytest.raises(InvalidStatus) as refused:
            async with dial(address, path):
                pass

    response = refused.value.response
    body = json.loads(response.body)
    assert (response.status_code, body["err_code"]) == (status, code)
    assert response.headers["dg-error"].startswith(f"{code}: ")
    assert body.keys() == {"err_code", "err_msg", "request_id"}


async def test_full_server_refuses_the_handshake_with_429():
    async with server(max_sessions=1) as address, dial(address, "/v1/listen?encoding=linear16"):
        with pytest.raises(InvalidStatus) as refused:
            async with dial(address, "/v1/listen?encoding=linear16"):
                pass

    assert refused.value.response.status_code == 429


async def test_nonsense_changes_nothing_until_there_is_too_much_of_it():
    async with server() as address, dial(address, "/v1/listen?encoding=linear16&sample_rate=16000") as socket:
        await socket.send('{"type":"Whatever"}')
        await socket.send("no json")
        await socket.send('{"type":"Finalize"}')
        first = json.loads(await socket.recv())
        for _ in range(60):
            await socket.send("[")
        messages, code = await until_closed(socket)

    assert first["from_finalize"]
    assert (messages[-1]["type"], code) == ("Error", 1008)


# -- Speech ------------------------------------------------------------------------------------------


class EndlessVoice:
    """Speaks for ever, ten times as fast as it is played."""

    async def synthesize(self, text, *, voice=None):
        async for _ in text:
            for at in range(10**6):
                yield AudioChunk(b"\2\0" * 1600, 1600 * at)
                await anyio.sleep(0.01)


@proves("deepgram", BY_HAND, "speak: socket with Flush and Clear")
async def test_clear_stops_the_voice_and_no_older_audio_follows():
    voice = EndlessVoice()
    engines = Engines(ScriptedDetector(), None, synthesizer=voice)

    @asynccontextmanager
    async def session_engines(session, tenant):
        yield engines

    async with (
        served(scripted_service(session_engines=session_engines, tenants=lambda: (ACME,))) as address,
        dial(address, "/v1/speak?encoding=linear16&sample_rate=16000") as socket,
    ):
        await socket.send('{"type":"Speak","text":"One. Two. Three."}')
        with anyio.fail_after(20):
            while not isinstance(await socket.recv(), bytes):
                pass
            await socket.send('{"type":"Clear"}')
            while isinstance(message := await socket.recv(), bytes):
                pass
        assert json.loads(message)["type"] == "Cleared"
        await socket.send('{"type":"Close"}')
        rest, code = await until_closed(socket)

    assert (rest, code) == ([], 1000)


@proves("deepgram", BY_HAND, "speak: text", "speak: mp3, linear16, mulaw, WAV or bare")
async def test_speech_has_the_encoding_asked_for():
    async with server() as address, httpx.AsyncClient(headers={"authorization": f"Token {KEY}"}) as http:
        for query, kind, size in (
            ("", "audio/mpeg", None),
            ("?encoding=linear16", "audio/wav", 44 + 4800),
            ("?encoding=linear16&container=none&sample_rate=16000", "audio/pcm;rate=16000;channels=1", 3200),
            ("?encoding=mulaw", "audio/mulaw;rate=8000", 800),
        ):
            answer = await http.post(f"http://{address}/v1/speak{query}", json={"text": "One."})
            assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
            assert size in (None, len(answer.content))
        refused = await http.post(f"http://{address}/v1/speak", json={"text": " "})

    assert (refused.status_code, refused.json()["err_code"]) == (400, "bad_message")
