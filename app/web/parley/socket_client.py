"""One client on a WebSocket: frames become the session's input, what is shown becomes messages and packets."""

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio import to_thread
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault
from app.domain.person import speaking_person
from app.domain.principal import Principal, Scope
from app.domain.profile import Profile
from app.domain.token_bucket import TokenBucket
from app.media.encode import encode_mp3
from app.runtime.dialog.outbox import AudioAcknowledged, OutboundMessage, Outbox
from app.runtime.dialog.session import Incoming
from app.runtime.profiles import ProfileCatalogue
from app.web.auth.middleware import accept
from app.web.errors import TIMED_OUT, error_reply
from app.web.parley import messages
from app.web.parley.packets import Packet, check_pcm, pack, unpack
from app.web.parley.resampler import Resampler

MAX_BAD_FRAMES = 50
"""Frames that could not be read, after which the session is closed: the client is broken, and stays so."""

FRAMES_PER_S, FRAME_BURST = 1000, 5000
"""Frames of one client are read at most so fast, whatever is in them: 10 ms of audio in each is ten times real time."""
CLOSE_TIMEOUT_S = 5.0
"""How long a client may take to read the last message; the transport is aborted soon after."""


class ClientGone(Exception):
    """The client left while we were writing to it."""


@dataclass(slots=True)
class SocketClient:
    """The session's SessionClient. `raw`: binary frames are bare 16 kHz PCM, not packets."""

    socket: WebSocket[Any, Any, Any]
    raw: bool = False
    profiles: ProfileCatalogue = field(default_factory=ProfileCatalogue)
    """What the client may choose."""
    _outbox: Outbox = field(default_factory=Outbox)
    _resampler: Resampler = field(default_factory=Resampler)
    _reply_pcm: dict[int, bytearray] = field(default_factory=dict)
    _bad_frames: int = 0
    _timed_out: bool = False
    _frames: TokenBucket = field(default_factory=lambda: TokenBucket(FRAMES_PER_S, FRAME_BURST, anyio.current_time()))
    _is_closed: bool = False
    """By the server."""

    async def accept(self) -> None:
        """Answer the handshake. Raises ClientGone."""
        with _writing():
            await accept(self.socket)

    async def incoming(self) -> AsyncIterator[Incoming]:
        """Audio and orders until the client is gone. A frame that cannot be read becomes an event, not an exception."""
        while not self._is_closed:
            frame = await self.socket.receive()
            if frame["type"] == "websocket.disconnect":
                self._timed_out = frame["code"] == TIMED_OUT
                break
            if wait_s := self._frames.charge(anyio.current_time(), 1):
                await anyio.sleep(wait_s)  # and nothing is read meanwhile
            try:
                items = self._read(frame)
            except ClientError as error:
                self._bad_frames += 1
                if self._bad_frames >= MAX_BAD_FRAMES:
                    error.fatal = True
                items = [ev.ClientErrorDetected(error)]
            for item in items:
                yield item
            if self._fault():
                break
        for chunk in self._resampler.flush():
            yield chunk

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        self._outbox.put(OutboundMessage(shown, ttfs_ms))

    def acknowledge(self, samples: int) -> None:
        self._outbox.put(OutboundMessage(AudioAcknowledged(samples)))

    async def write(self) -> None:
        """Send what is shown, in order, without end. The only writer while the session runs. Raises ClientGone."""
        while True:
            outbound = await self._outbox.take()
            match outbound.shown:
                case AudioAcknowledged(samples):
                    await self.send(messages.ack(samples))
                case do.PlayAudio(turn, chunk):
                    self._reply_pcm.setdefault(turn, bytearray()).extend(chunk.pcm)
                    with _writing():
                        await self.socket.send_data(pack(messages.audio_metadata(turn), chunk.pcm), mode="binary")
                case do.ShowReply(turn, text):
                    pcm = bytes(self._reply_pcm.pop(turn, b""))
                    mp3 = await to_thread.run_sync(encode_mp3, pcm)
                    await self.send(messages.server_response(turn, text, mp3))
                case shown:
                    if isinstance(shown, do.ShowReplyCancelled):
                        self._reply_pcm.pop(shown.turn, None)
                    await self.send(messages.server_message(shown, outbound.ttfs_ms))

    async def send(self, message: messages.ServerMessage) -> None:
        """Raises ClientGone."""
        with _writing():
            await self.socket.send_data(messages.encode(message), mode="text")

    def raise_for_fault(self) -> None:
        """Raises ClientError where the session ended through the client's fault, and the socket is still open."""
        if not self._is_closed and (fault := self._fault()):
            raise fault

    async def close_for(self, error: Exception) -> None:
        """The last message and the close code for this error, where the client is still there and reads. Once."""
        if self._is_closed:
            return
        self._is_closed, reply = True, error_reply(error)
        if self._timed_out:  # the keepalive reports a disconnect, but what is written may still arrive
            self.socket.connection_state = "receive"
        with suppress(ClientGone), anyio.move_on_after(CLOSE_TIMEOUT_S):
            await self.send(messages.error_message(error, fatal=True))
            with _writing():
                await self.socket.close(reply.close_code, reply.code)

    def _fault(self) -> ClientError | None:
        if self._timed_out:
            return ClientError(ClientFault.TIMED_OUT, "the client answered no ping", fatal=True)
        if self._outbox.overflowed:
            return ClientError(ClientFault.TOO_SLOW, "the client reads too slowly", fatal=True)
        if self._bad_frames >= MAX_BAD_FRAMES:
            return ClientError(ClientFault.BAD_MESSAGE, f"{MAX_BAD_FRAMES} frames could not be read", fatal=True)
        return None

    def _profile(self, name: str) -> Profile:
        """Raises ClientError."""
        return self.profiles.find(name, self.socket.user.tenant)

    def _read(self, frame: object) -> list[Incoming]:
        assert isinstance(frame, dict)
        if (data := frame.get("bytes")) is not None:
            packet = Packet(SAMPLE_RATE, check_pcm(data)) if self.raw else unpack(data)
            return list(self._resampler.push(packet.pcm, packet.sample_rate))
        message = messages.read_control(frame.get("text") or "", self._profile)
        if isinstance(message, ev.ClientConfigured) and message.person is not None:
            speaking_person(self.socket.user, message.person)
        if isinstance(message, ev.ClientConfigured) and message.conversation is not None:
            _require_chat(self.socket.user)
        return [*self._resampler.flush(), message] if isinstance(message, ev.ClientEnded) else [message]


def _require_chat(principal: Principal) -> None:
    """Raises ClientError where this principal may not continue a conversation."""
    if not principal.may(Scope.CHAT) or principal.is_stranger:
        raise ClientError(ClientFault.FORBIDDEN, f"a conversation needs a key with the scope {Scope.CHAT}")


@contextmanager
def _writing() -> Generator[None, None, None]:
    """What writing to a client that is gone raises, as ClientGone; the OSError is ASGI's word for it."""
    try:
        yield
    except (WebSocketDisconnect, OSError) as error:
        raise ClientGone from error
