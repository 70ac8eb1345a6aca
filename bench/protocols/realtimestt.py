"""RealtimeSTT's example FastAPI server: packets of metadata and PCM16 in, `realtime` and `final` out."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import msgspec
from websockets.asyncio.client import ClientConnection

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.web.parley.packets import pack
from bench.protocols.line import Heard
from bench.protocols.sockets import await_type, messages, open_socket, tell


@dataclass(frozen=True, slots=True)
class RealtimeSttLine:
    socket: ClientConnection

    async def send(self, pcm: bytes) -> None:
        frames = len(pcm) // BYTES_PER_SAMPLE
        metadata = {"sampleRate": SAMPLE_RATE, "channels": 1, "format": "pcm_s16le", "frames": frames}
        await self.socket.send(pack(msgspec.json.encode(metadata), pcm))

    async def finish(self) -> None:
        await tell(self.socket, {"type": "stop"})

    async def heard(self) -> AsyncGenerator[Heard, None]:
        async for message in messages(self.socket):
            at, text = anyio.current_time(), message.get("text") or ""
            utterance = str(message.get("segmentId"))
            match message.get("type"):
                case "realtime" if text:
                    yield Heard(at, "draft", text, utterance)
                case "final":
                    yield Heard(at, "final", text, utterance)


@asynccontextmanager
async def open_realtimestt(
    url: str,
    *,
    reply: bool,  # noqa: ARG001 because it only transcribes
) -> AsyncGenerator[RealtimeSttLine, None]:
    async with open_socket(url) as socket:
        await await_type(socket, "ready")
        await tell(socket, {"type": "start"})
        yield RealtimeSttLine(socket)
