"""A client that records what the server sends and when, message by message as it is on the wire; for benchmarks, too.

It is the connection of `parley_client` without its typed events.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from parley_client.connecting import PING_S, open_socket, session_address
from parley_client.connection import Connection
from parley_client.pacing import paced
from parley_client.resumption import SILENCE_S, Resumption
from parley_client.session import NEW
from websockets.asyncio.client import ClientConnection

from app.domain.audio import SAMPLE_RATE

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One message of the server."""

    at_s: float
    """Seconds since the first audio was sent; negative before it."""
    message: Message
    pcm: bytes = b""
    """16 kHz mono PCM16, with a replyAudio message."""


@dataclass(slots=True)
class StreamingClient:
    """One session, from the client's side."""

    rate: int = SAMPLE_RATE
    started_at: float = 0.0
    """When the first audio was sent, on the event loop's clock; 0 before it."""
    received: list[ReceivedMessage] = field(default_factory=list)
    on_message: Callable[[ReceivedMessage], None] | None = None
    connection: Connection | None = None
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def open_connection(self) -> Connection:
        assert self.connection is not None
        return self.connection

    @property
    def socket(self) -> ClientConnection:
        return self.open_connection.socket

    @property
    def resumption(self) -> Resumption:
        assert self.open_connection.resumption is not None
        return self.open_connection.resumption

    @property
    def closed(self) -> tuple[int, str] | None:
        """Close code and reason, when the session is over."""
        return self.open_connection.closed

    async def send_audio(self, pcm: bytes, *, pace: float = 1.0) -> None:
        """Send PCM16 as fast as it is spoken, or `pace` times as fast; 0: at once. Stops when the session is over."""
        if not self.started_at:
            self.started_at = anyio.current_time()
        async for packet in paced(pcm, self.rate, pace):
            await self.open_connection.send_audio(packet, self.rate)
            if self.closed:
                return

    async def send_message(self, **message: Any) -> None:
        """Send a JSON message, such as type="end"."""
        await self.open_connection.send_message(message)

    async def wait_until(self, condition: Callable[["StreamingClient"], object], *, timeout_s: float) -> bool:
        """Wait until the condition holds, the session is over, or the time is. True where it holds."""
        with anyio.move_on_after(timeout_s):
            while not condition(self) and self.closed is None:
                await self._changed.wait()
        return bool(condition(self))

    def messages(self, kind: str) -> list[ReceivedMessage]:
        """Every message of this type so far."""
        return [received for received in self.received if received.message["type"] == kind]

    def record(self, message: Message, pcm: bytes) -> None:
        at_s = anyio.current_time() - self.started_at if self.started_at else -1.0
        received = ReceivedMessage(at_s, message, pcm)
        self.received.append(received)
        if self.on_message:
            self.on_message(received)
        self.wake()

    def wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def receive(self) -> None:
        try:
            await self.open_connection.receive()
        finally:
            self.wake()


@asynccontextmanager
async def open_session(
    url: str,
    *,
    rate: int = SAMPLE_RATE,
    on_message: Callable[[ReceivedMessage], None] | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    resume: bool = False,
) -> AsyncGenerator[StreamingClient, None]:
    """A session with the server at this ws:// or wss:// address; the path is taken as it is.

    `resume`: where the connection is lost, the client comes back to the session and goes on, as long as it waits.
    Raises what `parley_client.connecting.open_socket` raises.
    """

    async def connect_to(session: str) -> ClientConnection:
        return await open_socket(session_address(url, resume=session), key=key, headers=headers, ping_s=SILENCE_S)

    client = StreamingClient(rate, on_message=on_message)
    socket = await (connect_to(NEW) if resume else open_socket(url, key=key, headers=headers, ping_s=PING_S))
    client.connection = Connection(socket, client.record, Resumption(connect_to) if resume else None)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.receive)
            yield client
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await client.open_connection.close()
