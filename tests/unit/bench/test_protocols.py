"""Every protocol's client against a small server that speaks it: the same clip, the same words."""

import base64
import functools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import numpy as np
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from websockets.asyncio.server import ServerConnection, serve

from app.domain.errors import ProviderDown
from bench.load import run_load
from bench.protocols import PROTOCOLS
from bench.server import Server
from bench.voice import LEADING_TONE_SECONDS, PlayedClip, play_clip
from tests.unit.bench.making import clip

pytestmark = pytest.mark.anyio

SPOKEN = LEADING_TONE_SECONDS + 0.3
"""Seconds of the stream at which the made clip's speech ends."""
ENOUGH = SPOKEN + 0.2
QUIET = 0.4
DRAFT, FINAL = "one too", "one two three"


class AudioCounter:
    """Counts the seconds of audio that came, and says once when there are enough for a draft, and for a final."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.due = [(LEADING_TONE_SECONDS + 0.2, "draft"), (ENOUGH, "final")]

    def count(self, samples: int, rate: int = 16_000) -> list[str]:
        self.seconds += samples / rate
        now = [kind for at, kind in self.due if at <= self.seconds]
        self.due = self.due[len(now) :]
        return now


async def send_json(socket: ServerConnection, **message: object) -> None:
    await socket.send(json.dumps(message))


def packet(frame: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(frame[:4], "little")
    return json.loads(frame[4 : 4 + length]), frame[4 + length :]


async def parley(socket: ServerConnection) -> None:
    counter = AudioCounter()
    await send_json(socket, type="session", id="1")
    async for frame in socket:
        if isinstance(frame, str):
            continue
        for due in counter.count(len(packet(frame)[1]) // 2):
            if due == "draft":
                await send_json(socket, type="realtime", text=DRAFT, stable="one", utterance=1, turn=1)
            else:
                await send_json(socket, type="fullSentence", text=FINAL, utterance=1, turn=1, start=0.4, end=SPOKEN)
                metadata = json.dumps({"type": "replyAudio", "turn": 1, "sampleRate": 16000}).encode()
                await socket.send(len(metadata).to_bytes(4, "little") + metadata + bytes(640))


async def whisperlive(socket: ServerConnection) -> None:
    options, counter = json.loads(await socket.recv()), AudioCounter()
    uid = options["uid"]
    assert options["task"] == "transcribe"
    await send_json(socket, uid=uid, message="SERVER_READY", backend="faster_whisper")
    segment = {"start": "0.000", "end": f"{SPOKEN:.3f}"}
    async for frame in socket:
        if frame == b"END_OF_AUDIO":
            return
        audio = np.frombuffer(frame, "<f4")
        assert np.abs(audio).max(initial=0) <= 1
        for due in counter.count(len(audio)):
            final = due == "final"
            listed = [segment | {"text": f" {FINAL if final else DRAFT}", "completed": final}]
            await send_json(socket, uid=uid, segments=listed)
            await send_json(socket, uid=uid, segments=listed)  # the list is sent again and again


async def whisperlivekit(socket: ServerConnection) -> None:
    counter = AudioCounter()
    await send_json(socket, type="config", useAudioWorklet=True, mode="full")
    async for frame in socket:
        if frame == b"":
            await send_json(socket, type="ready_to_stop")
            return
        for due in counter.count(len(frame) // 2):
            final = due == "final"
            lines = [{"speaker": 1, "text": FINAL, "start": "0:00:00", "end": "0:00:01"}] if final else []
            await send_json(
                socket, status="active_transcription", lines=lines, buffer_transcription="" if final else DRAFT
            )


async def realtimestt(socket: ServerConnection) -> None:
    counter = AudioCounter()
    await send_json(socket, type="hello", sessionId="1")
    await send_json(socket, type="ready", settings={})
    assert json.loads(await socket.recv()) == {"type": "start"}
    async for frame in socket:
        if isinstance(frame, str):
            return
        metadata, audio = packet(frame)
        assert metadata["frames"] == len(audio) // 2
        for due in counter.count(metadata["frames"], metadata["sampleRate"]):
            kind, text = ("realtime", DRAFT) if due == "draft" else ("final", FINAL)
            await send_json(socket, type=kind, text=text, segmentId=1)


async def openai_realtime(socket: ServerConnection) -> None:
    counter, item = AudioCounter(), "conversation.item.input_audio_transcription"
    await send_json(socket, type="session.created")
    session = json.loads(await socket.recv())["session"]
    assert session["type"] == "transcription"
    await send_json(socket, type="session.updated", session=session)
    rate = session["audio"]["input"]["format"]["rate"]
    async for frame in socket:
        message = json.loads(frame)
        assert message["type"] == "input_audio_buffer.append"
        for due in counter.count(len(base64.b64decode(message["audio"])) // 2, rate):
            if due == "draft":
                await send_json(socket, type=f"{item}.delta", item_id="a", delta="one")
                await send_json(socket, type=f"{item}.delta", item_id="a", delta=" too")
            else:
                await send_json(socket, type=f"{item}.completed", item_id="a", transcript=FINAL)


async def wyoming(stream: anyio.abc.SocketStream) -> None:
    incoming, counter = BufferedByteReceiveStream(stream), AudioCounter()
    async with stream:
        while True:
            head = json.loads(await incoming.receive_until(b"\n", 1 << 20))
            data = json.loads(await incoming.receive_exactly(head["data_length"]))
            payload = await incoming.receive_exactly(head["payload_length"]) if head["payload_length"] else b""
            if head["type"] == "audio-stop":
                return
            if head["type"] == "audio-chunk" and "final" in counter.count(len(payload) // 2, data["rate"]):
                body = json.dumps({"text": FINAL}).encode()
                reply = {"type": "transcript", "version": "1", "data_length": len(body)}
                await stream.send(json.dumps(reply).encode() + b"\n" + body)


SCRIPTS: dict[str, Callable[[ServerConnection], Awaitable[None]]] = {
    "parley": parley,
    "whisperlive": whisperlive,
    "whisperlivekit": whisperlivekit,
    "realtimestt": realtimestt,
    "openai-realtime": openai_realtime,
}


@asynccontextmanager
async def serving(protocol: str) -> AsyncGenerator[str, None]:
    """The address of a server that speaks this protocol."""
    if protocol == "wyoming":
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(functools.partial(listener.serve, wyoming))
            yield f"tcp://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
            tasks.cancel_scope.cancel()
        return
    async with serve(SCRIPTS[protocol], "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_every_protocol_client_records_drafts_final_and_times(protocol):
    """The newest draft has all words so far; the final comes when the server has received enough audio."""
    async with serving(protocol) as url:
        played = await play_clip(PROTOCOLS[protocol], url, clip(), reply=protocol == "parley", quiet=QUIET)

    (final,) = played.events_of("final")
    assert final.text == FINAL
    assert ENOUGH - 0.05 <= final.at < ENOUGH + 1.5
    drafts = [draft.text for draft in played.events_of("draft")]
    assert drafts[-1:] == ([] if protocol == "wyoming" else [DRAFT])  # Wyoming has none
    assert played.answered()
    assert played.streamed >= played.clip.seconds + LEADING_TONE_SECONDS + QUIET


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_unreachable_server_is_reported_in_one_sentence(protocol, unused_port):
    """ProviderDown, whatever the protocol."""
    with pytest.raises(ProviderDown, match="no server answers"):
        async with PROTOCOLS[protocol](f"ws://127.0.0.1:{unused_port}", reply=False):
            pass


@pytest.fixture
async def unused_port() -> int:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        return listener.extra(anyio.abc.SocketAttribute.local_port)


async def test_speakers_stream_concurrently():
    """Two people with one clip each: two answers, in less than the time of one after the other."""
    reported: list[PlayedClip] = []
    async with serving("parley") as url:
        load = await run_load(
            PROTOCOLS["parley"],
            Server(url, None),
            [clip()],
            sessions=2,
            rounds=1,
            reply=False,
            on_played=reported.append,
        )

    assert len(load.played) == len(reported) == 2
    assert all(played.answered() for played in load.played)
    assert load.usage.wall_seconds < sum(played.streamed for played in load.played)
    assert load.usage.cpu_seconds is None


async def test_server_disconnect_loses_only_one_clip():
    """The clip ends early, without a final and without an error."""

    async def rude(socket: ServerConnection) -> None:
        await socket.close(1013)

    async with serve(rude, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        played = await play_clip(PROTOCOLS["parley"], url, clip(), reply=False, quiet=QUIET)

    assert played.disconnected
    assert played.last_final() is None
