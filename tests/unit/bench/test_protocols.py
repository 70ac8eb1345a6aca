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
from bench.voice import LEAD_SECONDS, Said, say
from tests.unit.bench.making import clip

pytestmark = pytest.mark.anyio

SPOKEN = LEAD_SECONDS + 0.3
"""Seconds of the stream at which the made clip's speech ends."""
ENOUGH = SPOKEN + 0.2
QUIET = 0.4
DRAFT, FINAL = "one too", "one two three"


class Ear:
    """Counts the seconds of audio that came, and says once when there are enough for a draft, and for a final."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.due = [(LEAD_SECONDS + 0.2, "draft"), (ENOUGH, "final")]

    def hear(self, samples: int, rate: int = 16_000) -> list[str]:
        self.seconds += samples / rate
        now = [kind for at, kind in self.due if at <= self.seconds]
        self.due = self.due[len(now) :]
        return now


async def tell(socket: ServerConnection, **message: object) -> None:
    await socket.send(json.dumps(message))


def packet(frame: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(frame[:4], "little")
    return json.loads(frame[4 : 4 + length]), frame[4 + length :]


async def parley(socket: ServerConnection) -> None:
    ear = Ear()
    await tell(socket, type="session", id="1")
    async for frame in socket:
        if isinstance(frame, str):
            continue
        for due in ear.hear(len(packet(frame)[1]) // 2):
            if due == "draft":
                await tell(socket, type="realtime", text=DRAFT, stable="one", utterance=1, turn=1)
            else:
                await tell(socket, type="fullSentence", text=FINAL, utterance=1, turn=1, start=0.4, end=SPOKEN)
                metadata = json.dumps({"type": "replyAudio", "turn": 1, "sampleRate": 16000}).encode()
                await socket.send(len(metadata).to_bytes(4, "little") + metadata + bytes(640))


async def whisperlive(socket: ServerConnection) -> None:
    options, ear = json.loads(await socket.recv()), Ear()
    uid = options["uid"]
    assert options["task"] == "transcribe"
    await tell(socket, uid=uid, message="SERVER_READY", backend="faster_whisper")
    segment = {"start": "0.000", "end": f"{SPOKEN:.3f}"}
    async for frame in socket:
        if frame == b"END_OF_AUDIO":
            return
        audio = np.frombuffer(frame, "<f4")
        assert np.abs(audio).max(initial=0) <= 1
        for due in ear.hear(len(audio)):
            final = due == "final"
            listed = [segment | {"text": f" {FINAL if final else DRAFT}", "completed": final}]
            await tell(socket, uid=uid, segments=listed)
            await tell(socket, uid=uid, segments=listed)  # the list is sent again and again


async def whisperlivekit(socket: ServerConnection) -> None:
    ear = Ear()
    await tell(socket, type="config", useAudioWorklet=True, mode="full")
    async for frame in socket:
        if frame == b"":
            await tell(socket, type="ready_to_stop")
            return
        for due in ear.hear(len(frame) // 2):
            final = due == "final"
            lines = [{"speaker": 1, "text": FINAL, "start": "0:00:00", "end": "0:00:01"}] if final else []
            await tell(socket, status="active_transcription", lines=lines, buffer_transcription="" if final else DRAFT)


async def realtimestt(socket: ServerConnection) -> None:
    ear = Ear()
    await tell(socket, type="hello", sessionId="1")
    await tell(socket, type="ready", settings={})
    assert json.loads(await socket.recv()) == {"type": "start"}
    async for frame in socket:
        if isinstance(frame, str):
            return
        metadata, audio = packet(frame)
        assert metadata["frames"] == len(audio) // 2
        for due in ear.hear(metadata["frames"], metadata["sampleRate"]):
            kind, text = ("realtime", DRAFT) if due == "draft" else ("final", FINAL)
            await tell(socket, type=kind, text=text, segmentId=1)


async def openai_realtime(socket: ServerConnection) -> None:
    ear, item = Ear(), "conversation.item.input_audio_transcription"
    await tell(socket, type="session.created")
    session = json.loads(await socket.recv())["session"]
    assert session["type"] == "transcription"
    await tell(socket, type="session.updated", session=session)
    rate = session["audio"]["input"]["format"]["rate"]
    async for frame in socket:
        message = json.loads(frame)
        assert message["type"] == "input_audio_buffer.append"
        for due in ear.hear(len(base64.b64decode(message["audio"])) // 2, rate):
            if due == "draft":
                await tell(socket, type=f"{item}.delta", item_id="a", delta="one")
                await tell(socket, type=f"{item}.delta", item_id="a", delta=" too")
            else:
                await tell(socket, type=f"{item}.completed", item_id="a", transcript=FINAL)


async def wyoming(stream: anyio.abc.SocketStream) -> None:
    incoming, ear = BufferedByteReceiveStream(stream), Ear()
    async with stream:
        while True:
            head = json.loads(await incoming.receive_until(b"\n", 1 << 20))
            data = json.loads(await incoming.receive_exactly(head["data_length"]))
            payload = await incoming.receive_exactly(head["payload_length"]) if head["payload_length"] else b""
            if head["type"] == "audio-stop":
                return
            if head["type"] == "audio-chunk" and "final" in ear.hear(len(payload) // 2, data["rate"]):
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
    """The newest draft is all the words so far; the one final comes when the server has heard enough, not before."""
    async with serving(protocol) as url:
        said = await say(PROTOCOLS[protocol], url, clip(), reply=protocol == "parley", quiet=QUIET)

    (final,) = said.of("final")
    assert final.text == FINAL
    assert ENOUGH - 0.05 <= final.at < ENOUGH + 1.5
    drafts = [draft.text for draft in said.of("draft")]
    assert drafts[-1:] == ([] if protocol == "wyoming" else [DRAFT])  # Wyoming has none
    assert said.answered()
    assert said.streamed >= said.clip.seconds + LEAD_SECONDS + QUIET


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
    heard: list[Said] = []
    async with serving("parley") as url:
        load = await run_load(
            PROTOCOLS["parley"], Server(url, None), [clip()], sessions=2, rounds=1, reply=False, on_said=heard.append
        )

    assert len(load.said) == len(heard) == 2
    assert all(said.answered() for said in load.said)
    assert load.usage.wall_seconds < sum(said.streamed for said in load.said)
    assert load.usage.cpu_seconds is None


async def test_server_disconnect_loses_only_one_clip():
    """The clip ends early, without a final and without an error."""

    async def rude(socket: ServerConnection) -> None:
        await socket.close(1013)

    async with serve(rude, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        said = await say(PROTOCOLS["parley"], url, clip(), reply=False, quiet=QUIET)

    assert said.hung_up
    assert said.last_final() is None
