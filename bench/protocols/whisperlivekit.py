"""WhisperLiveKit, started with `--pcm-input`: PCM16 in, committed lines and an uncommitted rest out.

Words it has committed are final for it: each stretch of newly committed words counts as one final.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from websockets.asyncio.client import ClientConnection

from bench.protocols.connection import ServerEvent
from bench.protocols.sockets import await_type, messages, open_socket


@dataclass(frozen=True, slots=True)
class WhisperLiveKitConnection:
    socket: ClientConnection

    async def send(self, pcm: bytes) -> None:
        await self.socket.send(pcm)

    async def finish(self) -> None:
        await self.socket.send(b"")  # an empty frame ends the stream

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        shown, draft = 0, ""
        async for message in messages(self.socket):
            at = anyio.current_time()
            if message.get("type") == "ready_to_stop":
                return
            words = " ".join(line.get("text") or "" for line in message.get("lines", ())).split()
            rest = (message.get("buffer_transcription") or "").strip()
            if len(words) > shown:
                yield ServerEvent(at, "final", " ".join(words[shown:]))
                shown = len(words)
            if rest and rest != draft:
                yield ServerEvent(at, "draft", rest)
            draft = rest


@asynccontextmanager
async def open_whisperlivekit(
    url: str,
    *,
    reply: bool,  # noqa: ARG001 because it only transcribes
) -> AsyncGenerator[WhisperLiveKitConnection, None]:
    async with open_socket(url) as socket:
        await await_type(socket, "config")
        yield WhisperLiveKitConnection(socket)
