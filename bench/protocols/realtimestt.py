"""RealtimeSTT's example FastAPI server: packets of metadata and PCM16 in, `realtime` and `final` out."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import msgspec
from websockets.asyncio.client import ClientConnection

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.web.parley.packets import pack
from bench.protocols.connection import ServerEvent
from bench.protocols.sockets import await_type, messages, open_socket, send_json


@dataclass(frozen=True, slots=True)
class RealtimeSttConnection:
    socket: ClientConnection

    async def send(self, pcm: bytes) -> None:
        frames = len(pcm) // BYTES_PER_SAMPLE
        metadata = {"sampleRate": SAMPLE_RATE, "channels": 1, "format": "pcm_s16le", "frames": frames}
        await self.socket.send(pack(msgspec.json.encode(metadata), pcm))

    async def finish(self) -> None:
        await send_json(self.socket, {"type": "stop"})

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        async for message in messages(self.socket):
            at, text = anyio.current_time(), message.get("text") or ""
            utterance = str(message.get("segmentId"))
            match message.get("type"):
                case "realtime" if text:
                    yield ServerEvent(at, "draft", text, utterance)
                case "final":
                    yield ServerEvent(at, "final", text, utterance)


@asynccontextmanager
async def open_realtimestt(
    url: str,
    *,
    reply: bool,  # noqa: ARG001 because it only transcribes
) -> AsyncGenerator[RealtimeSttConnection, None]:
    async with open_socket(url) as socket:
        await await_type(socket, "ready")
        await send_json(socket, {"type": "start"})
        yield RealtimeSttConnection(socket)
