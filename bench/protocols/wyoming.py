"""Wyoming over TCP: JSON lines with a payload behind them.

A server that finds the end of speech itself (`--vad-endpointing`) sends a transcript whenever somebody pauses; one that
does not sends it behind our `audio-stop`, so its time to the final includes all the silence we send.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ProviderDown
from bench.protocols.connection import ServerEvent

FORMAT = {"rate": SAMPLE_RATE, "width": 2, "channels": 1}
MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class WyomingConnection:
    stream: SocketStream
    incoming: BufferedByteReceiveStream
    writing: anyio.Lock

    async def event(self, kind: str, data: dict[str, Any], payload: bytes = b"") -> None:
        body = msgspec.json.encode(data)
        head = {"type": kind, "data_length": len(body), "payload_length": len(payload)}
        async with self.writing:
            await self.stream.send(msgspec.json.encode(head) + b"\n" + body + payload)

    async def send(self, pcm: bytes) -> None:
        await self.event("audio-chunk", FORMAT, pcm)

    async def finish(self) -> None:
        await self.event("audio-stop", {})

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        try:
            while True:
                kind, data = await self._receive()
                if kind == "transcript":
                    yield ServerEvent(anyio.current_time(), "final", data.get("text", "").strip())
                    await self.event("audio-start", FORMAT)  # the next utterance begins
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
            return  # the server hangs up behind its last transcript

    async def _receive(self) -> tuple[str, dict[str, Any]]:
        head = msgspec.json.decode(await self.incoming.receive_until(b"\n", MAX_LINE))
        data = dict(head.get("data") or {})
        if length := head.get("data_length"):
            data |= msgspec.json.decode(await self.incoming.receive_exactly(length))
        if length := head.get("payload_length"):
            await self.incoming.receive_exactly(length)
        return head["type"], data


@asynccontextmanager
async def open_wyoming(
    url: str,
    *,
    reply: bool,  # noqa: ARG001 because it only transcribes
) -> AsyncGenerator[WyomingConnection, None]:
    address = urlsplit(url if "//" in url else f"//{url}")
    try:
        stream = await anyio.connect_tcp(address.hostname or "localhost", address.port or 10300)
    except OSError as error:
        raise ProviderDown(url, "no server answers there; start it first") from error
    async with stream:
        connection = WyomingConnection(stream, BufferedByteReceiveStream(stream), anyio.Lock())
        await connection.event("transcribe", {"language": "en"})
        await connection.event("audio-start", FORMAT)
        yield connection
