"""WhisperLive (collabora): float32 samples in, a sliding list of segments out.

A segment with `completed` is a final; what stands behind the completed ones is the draft.
"""

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import numpy as np
from websockets.asyncio.client import ClientConnection

from bench.protocols.connection import ServerEvent
from bench.protocols.sockets import await_type, messages, open_socket, send_json


@dataclass(frozen=True, slots=True)
class WhisperLiveConnection:
    socket: ClientConnection

    async def send(self, pcm: bytes) -> None:
        await self.socket.send((np.frombuffer(pcm, "<i2").astype("<f4") / 32768).tobytes())

    async def finish(self) -> None:
        await self.socket.send(b"END_OF_AUDIO")

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        completed_until = -1.0  # the list repeats the last ten segments each time
        async for message in messages(self.socket):
            at, draft = anyio.current_time(), ""
            for segment in message.get("segments", ()):
                start, end = float(segment["start"]), float(segment["end"])
                if not segment.get("completed"):
                    draft += segment["text"]
                elif start > completed_until:
                    completed_until = start
                    yield ServerEvent(at, "final", segment["text"].strip(), start=start, end=end)
            if draft.strip():
                yield ServerEvent(at, "draft", draft.strip())


@asynccontextmanager
async def open_whisperlive(
    url: str,
    *,
    reply: bool,  # noqa: ARG001 because it only transcribes
) -> AsyncGenerator[WhisperLiveConnection, None]:
    async with open_socket(url) as socket:
        wish = {"uid": str(uuid.uuid4()), "language": "en", "task": "transcribe", "model": "base", "use_vad": True}
        await send_json(socket, wish)
        await await_type(socket, "SERVER_READY")
        yield WhisperLiveConnection(socket)
