"""The messages and packets of one session, over one WebSocket, or over several where it is resumed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from parley_client.packets import encode, packet, read_frame
from parley_client.resumption import LEFT, MAX_KEPT_S, Resumption


@dataclass(slots=True, eq=False)
class Connection:
    """Whoever opens it runs `receive`, and closes it."""

    socket: ClientConnection
    """The newest."""
    on_message: Callable[[dict[str, Any], bytes], None]
    """Called with every message of the server, once, and with the audio of a packet."""
    resumption: Resumption | None = None
    """None: the session ends with its connection."""
    closed: tuple[int, str] | None = None
    """Close code and reason, when the session is over."""
    is_connected: bool = True
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def send_audio(self, pcm: bytes, rate: int) -> None:
        """Send a packet of PCM16, as `send_message` does."""
        sent = self.resumption.sent if self.resumption else None
        await self._send(lambda: sent.packet(pcm, rate) if sent else packet({"sampleRate": rate}, pcm))

    async def send_message(self, message: dict[str, Any]) -> None:
        """Send a message; in a session that can be resumed it is kept until the server has it.

        Waits while the server has not confirmed half a minute of audio. Sends nothing when the session is over.
        """
        sent = self.resumption.sent if self.resumption else None
        await self._send(lambda: sent.message(message) if sent else encode(message))

    async def receive(self) -> None:
        """Pass on what the server sends until the session is over; come back to it where the connection is lost.

        Raises ValueError for a frame that cannot be read, and what `on_message` raises.
        """
        try:
            while True:
                is_lost = await self._receive_from(self.socket)
                if not is_lost or self.resumption is None or not await self._come_back(self.resumption):
                    break
        finally:
            self.closed = (self.socket.close_code or 1006, self.socket.close_reason or "")
            self._notify()

    async def close(self) -> None:
        await self.socket.close()

    async def _receive_from(self, socket: ClientConnection) -> bool:
        """Whether the connection was lost, and the session may go on."""
        resumption = self.resumption
        try:
            while True:
                is_awaited = bool(resumption and resumption.sent.kept)
                try:
                    async with asyncio.timeout(resumption.silence_s if resumption else None):
                        frame = await socket.recv()
                except TimeoutError:
                    if is_awaited:
                        return True
                    continue  # what was sent meanwhile is awaited for as long
                self._pass_on(frame)
                if resumption and (confirmation := resumption.confirmation()):
                    await socket.send(confirmation)
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
            self._pass_on(first)
            try:
                for kept in list(resumption.sent.kept):
                    await self.socket.send(kept.frame)
            except websockets.ConnectionClosed:
                return True  # the receiving side sees why
            self.is_connected = True
        return True

    async def _send(self, frame: Callable[[], str | bytes]) -> None:
        if self.closed:
            return
        async with self._sending:
            made = frame()  # within the lock, because it is numbered in the order of sending
            if self.is_connected:
                with suppress(websockets.ConnectionClosed):  # the receiving side sees it, and knows what follows
                    await self.socket.send(made)
        while self.closed is None and self.resumption is not None and self.resumption.sent.kept_s >= MAX_KEPT_S:
            await self._changed.wait()

    def _pass_on(self, frame: str | bytes) -> None:
        message, pcm = read_frame(frame)
        if self.resumption is None or self.resumption.is_new(message):
            self.on_message(message, pcm)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
