"""A client of a Parley server: streams audio at the pace of speech and records when each message arrived.

Tests, benchmarks and the command `parley talk` all use it.
"""

import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import gaierror
from ssl import SSLError
from typing import Any

import anyio
import msgspec
import websockets
from websockets.asyncio.client import ClientConnection, connect

from app.client_resumption import LEFT, MAX_KEPT_S, SILENCE_S, Resumption
from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.errors import ParleyError, ProviderDown, ProviderRefused, SettingsError
from app.proxies import proxy_of
from app.web.parley.packets import pack

PACKET_MS = 40
PING_S = 20.0
"""Between two pings, and until a pong is missed."""

_STATUS_HINTS = {
    401: "it asks for a key",
    403: "it refuses this key or this origin",
    404: "there is no socket at this path; Parley's is /ws/transcribe",
    **dict.fromkeys((502, 503, 504), "a gateway answered, and no server behind it"),
}

NEW = "new"
"""Asks for a session that can be resumed, in place of the id of one."""

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
    """Close code and reason, when the session is over."""
    resumption: Resumption | None = None
    """None: the session ends with its connection."""
    is_connected: bool = True
    _sending: anyio.Lock = field(default_factory=anyio.Lock)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def send_audio(self, pcm: bytes, *, pace: float = 1.0) -> None:
        """Send PCM16 as fast as it is spoken, or `pace` times as fast; 0: at once. Stops when the session is over."""
        if not self.started_at:
            self.started_at = anyio.current_time()
        sending_since = anyio.current_time()
        step = self.rate * PACKET_MS // 1000 * BYTES_PER_SAMPLE
        for start in range(0, len(pcm), step):
            if pace:  # a packet leaves when its last sample has been spoken
                spoken_s = min(start + step, len(pcm)) / BYTES_PER_SAMPLE / self.rate
                await anyio.sleep_until(sending_since + spoken_s / pace)
            await self._send(pcm[start : start + step])
            if self.closed:
                return

    async def send_message(self, **message: Any) -> None:
        """Send a JSON message, such as type="end"."""
        await self._send(message)

    async def wait_until(self, condition: Callable[["StreamingClient"], object], *, timeout_s: float) -> bool:
        """Wait until the condition holds, the session is over, or the time is. True where it holds."""
        with anyio.move_on_after(timeout_s):
            while not condition(self) and self.closed is None:
                await self._changed.wait()
        return bool(condition(self))

    def messages(self, kind: str) -> list[ReceivedMessage]:
        """Every message of this type so far."""
        return [received for received in self.received if received.message["type"] == kind]

    async def receive(self) -> None:
        """Record what the server sends until the session is over; come back to it where the connection is lost."""
        while True:
            is_lost = await self._receive_from(self.socket)
            if not is_lost or self.resumption is None or not await self._come_back(self.resumption):
                break
        self._record_close()

    async def _receive_from(self, socket: ClientConnection) -> bool:
        """Whether the connection was lost, and the session may go on."""
        resumption = self.resumption
        try:
            while True:
                with anyio.move_on_after(
                    resumption.silence_s if resumption and resumption.sent.kept else None
                ) as waiting:
                    self._record(await socket.recv())
                    if resumption and (confirmation := resumption.confirmation()):
                        await socket.send(confirmation)
                if waiting.cancelled_caught:
                    return True
        except websockets.ConnectionClosed:  # the close code says why
            return bool(resumption and resumption.seconds) and socket.close_code not in LEFT

    async def _come_back(self, resumption: Resumption) -> bool:
        """Go on over another connection: False where the session is over."""
        self.is_connected = False
        self.socket.transport.abort()
        answered = await resumption.come_back()
        if answered is None:
            return False
        async with self._sending:
            self.socket, first = answered
            self._record(first)
            try:
                for kept in list(resumption.sent.kept):
                    await self.socket.send(kept.frame)
            except websockets.ConnectionClosed:
                return True  # the receiving side sees why
            self.is_connected = True
        return True

    async def _send(self, content: bytes | dict[str, Any]) -> None:
        """PCM16 or a message; in a session that can be resumed it is kept until the server has it."""
        async with self._sending:
            frame = self._frame(content)
            if self.is_connected:
                with suppress(websockets.ConnectionClosed):  # the receiving side sees it, and knows what follows
                    await self.socket.send(frame)
        if (resumption := self.resumption) is not None:
            await self.wait_until(lambda _: resumption.sent.kept_s < MAX_KEPT_S, timeout_s=math.inf)

    def _frame(self, content: bytes | dict[str, Any]) -> str | bytes:
        sent = self.resumption.sent if self.resumption else None
        if isinstance(content, bytes):
            return sent.packet(content, self.rate) if sent else pack(b'{"sampleRate":%d}' % self.rate, content)
        return sent.message(content) if sent else msgspec.json.encode(content).decode()

    def _record(self, frame: str | bytes) -> None:
        at_s = anyio.current_time() - self.started_at if self.started_at else -1.0
        if isinstance(frame, bytes):
            length = int.from_bytes(frame[:4], "little", signed=True)
            received = ReceivedMessage(at_s, msgspec.json.decode(frame[4 : 4 + length]), frame[4 + length :])
        else:
            received = ReceivedMessage(at_s, msgspec.json.decode(frame))
        if self.resumption is None or self.resumption.is_new(received.message):
            self.received.append(received)
            if self.on_message:
                self.on_message(received)
        self._wake()

    def _record_close(self) -> None:
        self.closed = (self.socket.close_code or 1006, self.socket.close_reason or "")
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


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
    """A session with the server at this ws:// or wss:// address; a server on this machine is never asked by a proxy.

    `resume`: where the connection is lost, the client comes back to the session and goes on, as long as it waits.
    Raises ProviderDown where no server answers, ProviderRefused where the answer is no WebSocket, and SettingsError for
    an address or a key that cannot be sent.
    """

    async def connect_to(session: str) -> ClientConnection:
        # a client that only listens learns by its pings that nothing comes through, and well within the time it has
        return await _connect(_with_resume(url, session), key, headers or {}, ping_s=SILENCE_S)

    connection = await (connect_to(NEW) if resume else _connect(url, key, headers or {}))
    client = StreamingClient(connection, rate, on_message=on_message)
    client.resumption = Resumption(connect_to) if resume else None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.receive)
            yield client
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await client.socket.close()


def _with_resume(url: str, session: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}resume={session}"


async def _connect(
    url: str, key: str | None, further: Mapping[str, str], *, ping_s: float = PING_S
) -> ClientConnection:
    if key is not None and not (key.isascii() and key.isprintable()):
        raise SettingsError("the key has characters that no HTTP header may have; a key is plain ASCII on one line")
    headers = {**further, **({"Authorization": f"Bearer {key}"} if key else {})}
    proxy = proxy_of(url)
    try:
        return await connect(
            url,
            max_size=None,
            compression=None,
            additional_headers=headers,
            proxy=proxy,
            ping_interval=ping_s,
            ping_timeout=ping_s,
        )
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
