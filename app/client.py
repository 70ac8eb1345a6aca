"""A client of a Parley server: streams audio at the pace of speech, and notes when each answer came.

Tests, benchmarks and the command `parley talk` all use it.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec
import websockets
from websockets.asyncio.client import ClientConnection, connect

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.errors import ProviderDown
from app.web.parley.packets import pack

PACKET_MS = 40

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Received:
    """One message of the server."""

    at: float
    """Seconds since the first audio was sent; negative before it."""
    message: Message
    pcm: bytes = b""
    """16 kHz mono PCM16, with a replyAudio message."""


@dataclass(slots=True)
class StreamingClient:
    """One session, from the client's side."""

    socket: ClientConnection
    rate: int = SAMPLE_RATE
    began: float = 0.0
    received: list[Received] = field(default_factory=list)
    on_message: Callable[[Received], None] | None = None
    closed: tuple[int, str] | None = None
    """Close code and reason, when the server has closed."""
    _news: anyio.Event = field(default_factory=anyio.Event)

    async def speak(self, pcm: bytes, *, pace: float = 1.0) -> None:
        """Send audio as fast as it is spoken, or `pace` times as fast; 0 sends at once. It ends with the session."""
        if not self.began:
            self.began = anyio.current_time()
        started = anyio.current_time()
        step = self.rate * PACKET_MS // 1000 * BYTES_PER_SAMPLE
        for at in range(0, len(pcm), step):
            if pace:  # a packet leaves when its last sample has been spoken
                spoken = min(at + step, len(pcm)) / BYTES_PER_SAMPLE / self.rate
                await anyio.sleep_until(started + spoken / pace)
            await self._send(pack(b'{"sampleRate":%d}' % self.rate, pcm[at : at + step]))
            if self.closed:
                return

    async def tell(self, **message: Any) -> None:
        """Send an order, such as type="end"."""
        await self._send(msgspec.json.encode(message).decode())

    async def _send(self, frame: str | bytes) -> None:
        try:
            await self.socket.send(frame)
        except websockets.ConnectionClosed:
            self._over()

    async def listen(self) -> None:
        """Collect what the server says until it closes."""
        try:
            async for frame in self.socket:
                self._note(frame)
        except websockets.ConnectionClosed:
            pass  # the close code tells the rest
        self._over()

    def _over(self) -> None:
        self.closed = (self.socket.close_code or 1006, self.socket.close_reason or "")
        self._news.set()

    async def until(self, done: Callable[["StreamingClient"], bool], *, seconds: float) -> bool:
        """Wait until this is true, the server has closed, or the time is over. True where it became true."""
        with anyio.move_on_after(seconds):
            while not done(self) and self.closed is None:
                self._news = anyio.Event()
                await self._news.wait()
        return done(self)

    def of(self, kind: str) -> list[Received]:
        """Every message of this type so far."""
        return [r for r in self.received if r.message["type"] == kind]

    def _note(self, frame: str | bytes) -> None:
        at = anyio.current_time() - self.began if self.began else -1.0
        if isinstance(frame, bytes):
            length = int.from_bytes(frame[:4], "little", signed=True)
            got = Received(at, msgspec.json.decode(frame[4 : 4 + length]), frame[4 + length :])
        else:
            got = Received(at, msgspec.json.decode(frame))
        self.received.append(got)
        if self.on_message:
            self.on_message(got)
        self._news.set()


@asynccontextmanager
async def talking(
    url: str,
    *,
    rate: int = SAMPLE_RATE,
    on_message: Callable[[Received], None] | None = None,
    key: str | None = None,
) -> AsyncGenerator[StreamingClient, None]:
    """A session with the server at this ws:// address. Raises ProviderDown where nobody answers."""
    try:
        headers = {"Authorization": f"Bearer {key}"} if key else None
        connection = await connect(url, max_size=None, compression=None, additional_headers=headers)
    except (OSError, websockets.WebSocketException) as error:
        raise ProviderDown(url, "no server answers there; is it running? (make serve)") from error
    async with connection, anyio.create_task_group() as tasks:
        talk = StreamingClient(connection, rate, on_message=on_message)
        tasks.start_soon(talk.listen)
        yield talk
        tasks.cancel_scope.cancel()
