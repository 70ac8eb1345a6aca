"""One client on a socket: frames in, messages out."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from anyio import to_thread
from litestar import WebSocket

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault
from app.media.mp3 import encode_mp3
from app.runtime.dialog.outbox import AudioAcknowledged, OutboundMessage, Outbox
from app.runtime.dialog.session import Incoming
from app.web.parley import messages
from app.web.parley.packets import Packet, check_pcm, pack, unpack
from app.web.parley.resampler import Resampler

MISTAKES = 50
"""A client that made so many is closed: it will not learn."""


@dataclass(slots=True)
class SocketClient:
    """The session's Client. `raw`: binary frames are bare 16 kHz PCM, not packets."""

    socket: WebSocket[Any, Any, Any]
    raw: bool = False
    _outbox: Outbox = field(default_factory=Outbox)
    _resampler: Resampler = field(default_factory=Resampler)
    _reply_pcm: dict[int, bytearray] = field(default_factory=dict)
    _mistakes: int = 0

    async def incoming(self) -> AsyncIterator[Incoming]:
        """Audio and orders until the client is gone. A mistake becomes an event; the session lives on."""
        while True:
            frame = await self.socket.receive()
            if frame["type"] == "websocket.disconnect":
                break
            try:
                items = self._read(frame)
            except ClientError as error:
                self._mistakes += 1
                if self._mistakes >= MISTAKES:
                    error.fatal = True
                items = [ev.ClientErrorDetected(error)]
            for item in items:
                yield item
            if self._mistakes >= MISTAKES or self._outbox.overflowed:
                break
        for chunk in self._resampler.flush():
            yield chunk

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        self._outbox.put(OutboundMessage(shown, ttfs_ms))

    def acknowledge(self, samples: int) -> None:
        self._outbox.put(OutboundMessage(AudioAcknowledged(samples)))

    async def write(self) -> None:
        """Send what is shown, in order; for ever. The only one who writes to the socket."""
        while True:
            letter = await self._outbox.take()
            match letter.shown:
                case AudioAcknowledged(samples):
                    await self.send(messages.ack(samples))
                case do.PlayAudio(turn, chunk):
                    self._reply_pcm.setdefault(turn, bytearray()).extend(chunk.pcm)
                    await self.socket.send_data(pack(messages.audio_metadata(turn), chunk.pcm), mode="binary")
                case do.ShowReply(turn, text):
                    pcm = bytes(self._reply_pcm.pop(turn, b""))
                    mp3 = await to_thread.run_sync(encode_mp3, pcm)
                    await self.send(messages.server_response(turn, text, mp3))
                case shown:
                    if isinstance(shown, do.ShowReplyCancelled):
                        self._reply_pcm.pop(shown.turn, None)
                    await self.send(messages.message(shown, letter.ttfs_ms))

    async def send(self, message: messages.ServerMessage) -> None:
        await self.socket.send_data(messages.encode(message), mode="text")

    @property
    def verdict(self) -> ClientError | None:
        """Why the server ends this session, where it was the client's fault."""
        if self._outbox.overflowed:
            return ClientError(ClientFault.TOO_SLOW, "the client reads too slowly", fatal=True)
        if self._mistakes >= MISTAKES:
            return ClientError(ClientFault.BAD_MESSAGE, f"{MISTAKES} frames could not be read", fatal=True)
        return None

    def _read(self, frame: object) -> list[Incoming]:
        assert isinstance(frame, dict)
        if (data := frame.get("bytes")) is not None:
            packet = Packet(SAMPLE_RATE, check_pcm(data)) if self.raw else unpack(data)
            return list(self._resampler.push(packet.pcm, packet.sample_rate))
        message = messages.read_control(frame.get("text") or "")
        return [*self._resampler.flush(), message] if isinstance(message, ev.ClientEnded) else [message]
