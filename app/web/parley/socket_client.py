"""One client on WebSockets: frames become the session's input, what is shown becomes messages and packets.

A session that can be resumed outlives its connection: what is shown meanwhile waits, and what was sent and not
confirmed is sent again over the next one.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import anyio
from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault
from app.domain.person import speaking_person
from app.domain.principal import Principal, Scope
from app.domain.profile import Profile
from app.domain.resumption import InputReceived
from app.media.encode import encode_mp3
from app.media.resampling import Resampler
from app.runtime.dialog.outbox import AudioAcknowledged, EncodedMessage, InputAcknowledged, OutboundMessage, Outbox
from app.runtime.dialog.session import Incoming
from app.runtime.profiles import ProfileCatalogue
from app.web.client_input import MAX_BAD_FRAMES, FrameRate, client_fault
from app.web.parley import messages
from app.web.parley.connection import Connection
from app.web.parley.packets import Packet, check_pcm, pack, unpack
from app.web.parley.sent_frames import SentFrame, SentFrames
from app.web.served_session import ClientGone

ACKNOWLEDGE_EVERY = ms(250)
"""Samples of a client between two messages about what has been received."""


@dataclass(slots=True)
class SocketClient:
    """The session's SessionClient."""

    connection: Connection
    """The newest."""
    raw: bool = False
    """Binary frames are bare 16 kHz PCM, not packets."""
    profiles: ProfileCatalogue = field(default_factory=ProfileCatalogue)
    """What the client may choose."""
    grace_s: float = 0.0
    """How long a lost connection may be followed by another; 0: the session cannot be resumed."""
    input: InputReceived = field(default_factory=InputReceived)
    is_over: bool = False
    """Nothing more comes from the client, on any connection."""
    _outbox: Outbox = field(default_factory=Outbox)
    _sent: SentFrames = field(default_factory=SentFrames)
    _resampler: Resampler = field(default_factory=Resampler)
    _reply_pcm: dict[int, bytearray] = field(default_factory=dict)
    _bad_frames: int = 0
    _acknowledged: InputReceived = field(default_factory=InputReceived)
    _rate: FrameRate = field(default_factory=FrameRate)
    _changed: anyio.Event = field(default_factory=anyio.Event)
    """Set, and replaced, when the connection is another one, or must be waited for no longer."""

    async def incoming(self) -> AsyncIterator[Incoming]:
        """Audio and orders until the client is gone. A frame that cannot be read becomes an event, not an exception."""
        try:
            while True:
                connection = self.connection
                async with aclosing(self._rate.frames(connection)) as frames:
                    async for frame in frames:
                        for item in self._read_or_complain(frame):
                            yield item
                        if self._fault():
                            break
                if self._fault() or (self.connection is connection and not self._may_return(connection)):
                    break
                self._outbox.drop_unnumbered()
                yield ev.ClientDetached()
                if not await self._returned(connection):
                    break
                yield ev.ClientReturned()
            self.is_over = True
            for chunk in self._resampler.flush():
                yield chunk
        finally:
            self.is_over = True

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        if isinstance(shown, do.ShowDraft) and self.connection.lost.is_set():
            return  # a draft that cannot be sent is stale when it can
        self._outbox.put(OutboundMessage(shown, ttfs_ms))
        if self._outbox.overflowed:
            self._wake()

    def acknowledge(self, samples: int) -> None:
        if not self.connection.lost.is_set():
            self._outbox.put(OutboundMessage(AudioAcknowledged(samples)))

    async def write(self) -> None:
        """Send what is shown, in order, on one connection after the other. The only writer while the session runs."""
        while True:
            connection = self.connection
            with suppress(ClientGone):  # the reading side notices, and knows why
                await self._write_to(connection)
            if not self.grace_s:
                return
            while self.connection is connection:
                await self._changed.wait()

    async def send(self, message: messages.ServerMessage) -> None:
        """Raises ClientGone."""
        await self.connection.send(messages.encode(message))

    # -- connections ----------------------------------------------------------

    def can_return(self, received: int) -> bool:
        """Whether a client that has the messages up to this number can go on."""
        return not self.is_over and self._sent.can_resume_after(received)

    def attach(self, connection: Connection) -> None:
        """Go on with this connection; the one before was given up."""
        self._sent.confirm(connection.received)
        self.connection = connection
        self._wake()

    def wait_no_longer(self) -> None:
        """The server stops: a connection that is lost is not followed by another."""
        self.grace_s = 0.0
        self._wake()

    def raise_for_fault(self) -> None:
        """Raises ClientError where the session ended through the client's fault, and the socket is still open."""
        if not self.connection.is_closed and (fault := self._fault()):
            raise fault

    async def close_for(self, error: Exception) -> None:
        """The last message and the close code for this error, where the client is still there and reads. Once."""
        await self.connection.close_for(error)
        self._wake()

    def _may_return(self, lost: Connection) -> bool:
        return bool(self.grace_s) and not (lost.was_left or lost.is_closed or self._fault())

    async def _returned(self, lost: Connection) -> bool:
        """Wait for the connection after this one; False where none comes."""
        with anyio.move_on_after(self.grace_s):
            while self.connection is lost:
                if not self._may_return(lost):
                    return False
                await self._changed.wait()
        return self.connection is not lost

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _fault(self) -> ClientError | None:
        return client_fault(self.connection, self._outbox, self._bad_frames, may_return=bool(self.grace_s))

    # -- from the client ------------------------------------------------------

    def _read_or_complain(self, frame: dict[str, object]) -> list[Incoming]:
        try:
            items = self._read(frame)
        except ClientError as error:
            self._bad_frames += 1
            if self._bad_frames >= MAX_BAD_FRAMES:
                error.fatal = True
            items = [ev.ClientErrorDetected(error)]
        if self.grace_s:
            self._acknowledge_input()
        return items

    def _read(self, frame: dict[str, object]) -> list[Incoming]:
        if isinstance(data := frame.get("bytes"), bytes):
            packet = Packet(SAMPLE_RATE, check_pcm(data)) if self.raw else unpack(data)
            return self._read_packet(packet)
        text = frame.get("text")
        message = messages.decode(text if isinstance(text, str) else "")
        if isinstance(message, messages.MessagesReceived):
            self._sent.confirm(message.message)
            return []
        if self.input.knows_message(message.seq):
            return []
        self.input = self.input.with_message(message.seq)
        return self._read_order(messages.order(message, self._profile))

    def _read_packet(self, packet: Packet) -> list[Incoming]:
        """The audio of a packet that is new."""
        samples = len(packet.pcm) // BYTES_PER_SAMPLE
        known = self.input.samples_known(packet.start, samples)
        missing = self.input.samples_missing(packet.start)
        self.input = self.input.with_packet(packet.start, samples)
        chunks = self._resampler.push(packet.pcm[known * BYTES_PER_SAMPLE :], packet.sample_rate)
        if not missing:
            return list(chunks)
        reason = f"{missing} samples before this packet never came; the audio goes on without them"
        return [ev.ClientErrorDetected(ClientError(ClientFault.AUDIO_GAP, reason)), *chunks]

    def _read_order(self, order: messages.Order) -> list[Incoming]:
        if isinstance(order, ev.ClientConfigured) and order.person is not None:
            speaking_person(self.connection.socket.user, order.person)
        if isinstance(order, ev.ClientConfigured) and order.conversation is not None:
            _require_chat(self.connection.socket.user)
        return [*self._resampler.flush(), order] if isinstance(order, ev.ClientEnded) else [order]

    def _acknowledge_input(self) -> None:
        news, before = self.input, self._acknowledged
        if news.samples - before.samples >= ACKNOWLEDGE_EVERY or news.messages != before.messages:
            self._acknowledged = news
            self._outbox.put(OutboundMessage(InputAcknowledged(news.samples, news.messages)))

    def _profile(self, name: str) -> Profile:
        """Raises ClientError."""
        return self.profiles.find(name, self.connection.socket.user.tenant)

    # -- to the client --------------------------------------------------------

    async def _write_to(self, connection: Connection) -> None:
        """Raises ClientGone."""
        for frame in self._sent.after(connection.received):
            await connection.send(frame.data, text=frame.is_text)
        while (outbound := await connection.unless_lost(self._outbox.take)) is not None:
            frame = await self._frame(outbound)
            if frame.number:
                self._sent.keep(frame)
            await connection.send(frame.data, text=frame.is_text)

    async def _frame(self, outbound: OutboundMessage) -> SentFrame:
        """Numbered where it is kept until the client confirms it; else the number is 0."""
        match outbound.shown:
            case AudioAcknowledged(samples):
                return _text(messages.ack(samples))
            case InputAcknowledged(samples, orders):
                return _text(messages.InputReceivedMessage(samples, orders))
            case EncodedMessage(data):
                return SentFrame(0, data, is_text=True)
            case do.ShowToolCall():
                raise AssertionError("clients of this protocol have no functions")
            case do.ShowDraft() as draft:
                return _text(messages.server_message(draft, None))
            case do.PlayAudio(turn, chunk):
                self._reply_pcm.setdefault(turn, bytearray()).extend(chunk.pcm)
                number = self._next_number()
                return SentFrame(number or 0, pack(messages.audio_metadata(turn, number), chunk.pcm), is_text=False)
            case do.ResendAudio(turn, chunk):
                self._add_unsent(turn, chunk)
                number = self._next_number()
                metadata = messages.audio_metadata(turn, number, chunk.start)
                return SentFrame(number or 0, pack(metadata, chunk.pcm), is_text=False)
            case do.ShowReply(turn, text):
                pcm = bytes(self._reply_pcm.pop(turn, b""))
                mp3 = await to_thread.run_sync(encode_mp3, pcm)
                return _text(messages.server_response(turn, text, mp3), self._next_number())
            case do.ShowMark():
                raise AssertionError("no message of this protocol sets a mark")
            case shown:
                if isinstance(shown, do.ShowReplyCancelled):
                    self._reply_pcm.pop(shown.turn, None)
                return _text(messages.server_message(shown, outbound.ttfs_ms), self._next_number())

    def _add_unsent(self, turn: int, chunk: AudioChunk) -> None:
        """What of it was dropped before it was sent, because the reply was paused, belongs into the whole audio."""
        pcm = self._reply_pcm.get(turn)
        if pcm is not None:
            pcm += chunk.pcm[max(0, len(pcm) - chunk.start * BYTES_PER_SAMPLE) :]

    def _next_number(self) -> int | None:
        return self._sent.next_number() if self.grace_s else None


def _text(message: messages.ServerMessage, number: int | None = None) -> SentFrame:
    return SentFrame(number or 0, messages.encode(messages.numbered(message, number)), is_text=True)


def _require_chat(principal: Principal) -> None:
    """Raises ClientError where this principal may not continue a conversation."""
    if not principal.may(Scope.CHAT) or principal.is_stranger:
        raise ClientError(ClientFault.FORBIDDEN, f"a conversation needs a key with the scope {Scope.CHAT}")
