"""A client of a Parley server: streams audio at the pace of speech and records when each message arrived.

Tests, benchmarks and the command `parley talk` all use it.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import gaierror
from ssl import SSLError
from typing import Any

import anyio
import msgspec
import websockets
from websockets.asyncio.client import ClientConnection, connect

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.errors import ParleyError, ProviderDown, ProviderRefused, SettingsError
from app.proxies import proxy_of
from app.web.parley.packets import pack

PACKET_MS = 40

_STATUS_HINTS = {
    401: "it asks for a key",
    403: "it refuses this key or this origin",
    404: "there is no socket at this path; Parley's is /ws/transcribe",
    **dict.fromkeys((502, 503, 504), "a gateway answered, and no server behind it"),
}

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

    socket: ClientConnection
    rate: int = SAMPLE_RATE
    started_at: float = 0.0
    """When the first audio was sent, on the event loop's clock; 0 before it."""
    received: list[ReceivedMessage] = field(default_factory=list)
    on_message: Callable[[ReceivedMessage], None] | None = None
    closed: tuple[int, str] | None = None
    """Close code and reason, when the server has closed."""
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def send_audio(self, pcm: bytes, *, pace: float = 1.0) -> None:
        """Send PCM16 as fast as it is spoken, or `pace` times as fast; 0: at once. Stops when the server closes."""
        if not self.started_at:
            self.started_at = anyio.current_time()
        sending_since = anyio.current_time()
        step = self.rate * PACKET_MS // 1000 * BYTES_PER_SAMPLE
        for start in range(0, len(pcm), step):
            if pace:  # a packet leaves when its last sample has been spoken
                spoken_s = min(start + step, len(pcm)) / BYTES_PER_SAMPLE / self.rate
                await anyio.sleep_until(sending_since + spoken_s / pace)
            await self._send(pack(b'{"sampleRate":%d}' % self.rate, pcm[start : start + step]))
            if self.closed:
                return

    async def send_message(self, **message: Any) -> None:
        """Send a JSON message, such as type="end"."""
        await self._send(msgspec.json.encode(message).decode())

    async def wait_until(self, condition: Callable[["StreamingClient"], object], *, timeout_s: float) -> bool:
        """Wait until the condition holds, the server has closed, or the time is over. True where it holds."""
        with anyio.move_on_after(timeout_s):
            while not condition(self) and self.closed is None:
                self._changed = anyio.Event()
                await self._changed.wait()
        return bool(condition(self))

    def messages(self, kind: str) -> list[ReceivedMessage]:
        """Every message of this type so far."""
        return [received for received in self.received if received.message["type"] == kind]

    async def receive(self) -> None:
        """Record what the server sends until it closes."""
        try:
            async for frame in self.socket:
                self._record(frame)
        except websockets.ConnectionClosed:
            pass  # because the close code says why
        self._record_close()

    async def _send(self, frame: str | bytes) -> None:
        try:
            await self.socket.send(frame)
        except websockets.ConnectionClosed:
            self._record_close()

    def _record(self, frame: str | bytes) -> None:
        at_s = anyio.current_time() - self.started_at if self.started_at else -1.0
        if isinstance(frame, bytes):
            length = int.from_bytes(frame[:4], "little", signed=True)
            received = ReceivedMessage(at_s, msgspec.json.decode(frame[4 : 4 + length]), frame[4 + length :])
        else:
            received = ReceivedMessage(at_s, msgspec.json.decode(frame))
        self.received.append(received)
        if self.on_message:
            self.on_message(received)
        self._changed.set()

    def _record_close(self) -> None:
        self.closed = (self.socket.close_code or 1006, self.socket.close_reason or "")
        self._changed.set()


@asynccontextmanager
async def open_session(
    url: str,
    *,
    rate: int = SAMPLE_RATE,
    on_message: Callable[[ReceivedMessage], None] | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncGenerator[StreamingClient, None]:
    """A session with the server at this ws:// or wss:// address; a server on this machine is never asked by a proxy.

    Raises ProviderDown where no server answers, ProviderRefused where the answer is no WebSocket, and SettingsError for
    an address or a key that cannot be sent.
    """
    connection = await _connect(url, key, headers or {})
    async with connection, anyio.create_task_group() as tasks:
        client = StreamingClient(connection, rate, on_message=on_message)
        tasks.start_soon(client.receive)
        yield client
        tasks.cancel_scope.cancel()


async def _connect(url: str, key: str | None, further: Mapping[str, str]) -> ClientConnection:
    if key is not None and not (key.isascii() and key.isprintable()):
        raise SettingsError("the key has characters that no HTTP header may have; a key is plain ASCII on one line")
    headers = {**further, **({"Authorization": f"Bearer {key}"} if key else {})}
    proxy = proxy_of(url)
    try:
        return await connect(url, max_size=None, compression=None, additional_headers=headers, proxy=proxy)
    except (OSError, ValueError, websockets.WebSocketException) as error:
        raise _connection_error(url, error) from error


def _connection_error(url: str, error: Exception) -> ParleyError:
    """Why no session could be opened, and what to do."""
    match error:
        case SSLError():  # before ValueError and OSError, because a certificate's error is both
            return ProviderDown(url, f"no trusted TLS connection: {error.reason or error}")
        case websockets.InvalidURI() | ValueError():
            return SettingsError(f"{url} is no WebSocket address, such as ws://localhost:8000/ws/transcribe")
        case websockets.InvalidProxy() | websockets.ProxyError():
            return SettingsError(f"the proxy that the environment names does not work: {error}")
        case websockets.InvalidStatus():
            status = error.response.status_code
            hint = _STATUS_HINTS.get(status, "")
            return ProviderRefused(url, f"the server answered HTTP {status}{f': {hint}' if hint else ''}")
        case gaierror():
            return ProviderDown(url, "there is no host of this name")
        case websockets.InvalidHandshake():
            return ProviderRefused(url, "what answers there is no WebSocket server")
        case _:
            return ProviderDown(url, "no server answers there; is it running? Start it with `parley serve`")
