"""The outbox of one client: what waits to be sent to it.

Nobody waits for a slow client: a newer draft or acknowledgement replaces the older one that still waits, and a client
behind by more than the limit loses its session.
"""

from collections import deque
from dataclasses import dataclass, field

import anyio

from app.domain.dialog import effects as do

LIMIT = 32 << 20
"""Bytes that may wait: about fifteen minutes of reply audio."""


@dataclass(frozen=True, slots=True)
class AudioAcknowledged:
    """So many samples from the session's first are recorded safely."""

    samples: int


@dataclass(frozen=True, slots=True)
class InputAcknowledged:
    """What has been taken from the client, so that it need not keep it: samples as it sent them, and messages."""

    samples: int
    messages: int


@dataclass(frozen=True, slots=True)
class EncodedMessage:
    """A message as it goes over the wire, for a protocol that makes it when it is shown."""

    data: bytes
    audio_of: int | None = None
    """The turn whose reply audio it is."""


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One message for the client, and for a final its time to first sight."""

    shown: do.Shown | AudioAcknowledged | InputAcknowledged | EncodedMessage
    ttfs_ms: int | None = None

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        match self.shown:
            case do.PlayAudio(chunk=chunk) | do.ResendAudio(chunk=chunk):
                return 200 + len(chunk.pcm)
            case EncodedMessage(data):
                return 200 + len(data)
            case _:
                return 200

    def is_audio_of(self, turn: int) -> bool:
        match self.shown:
            case do.PlayAudio(turn=played) | do.ResendAudio(turn=played) | EncodedMessage(audio_of=played):
                return played == turn
            case _:
                return False


_UNNUMBERED = (do.ShowDraft, AudioAcknowledged, InputAcknowledged)
"""Replaced by newer ones, and never sent again."""


@dataclass(slots=True)
class Outbox:
    """A queue with a limit of LIMIT bytes; beyond it `overflowed` is set, and the session is to be ended."""

    queue: deque[OutboundMessage] = field(default_factory=deque)
    queued_bytes: int = 0
    overflowed: bool = False
    _more: anyio.Event = field(default_factory=anyio.Event)

    def put(self, message: OutboundMessage) -> None:
        """Queue a message; never waits."""
        match message.shown:
            case do.ShowDraft(utterance=utterance) if self._newest_is_draft_of(utterance):
                self.queued_bytes -= self.queue.pop().size
            case AudioAcknowledged() if self.queue and isinstance(self.queue[-1].shown, AudioAcknowledged):
                self.queued_bytes -= self.queue.pop().size
            case InputAcknowledged() if self.queue and isinstance(self.queue[-1].shown, InputAcknowledged):
                self.queued_bytes -= self.queue.pop().size
            case do.ShowReplyCancelled(turn) | do.StopPlayback(turn) | do.PauseReply(turn):
                self.drop_audio(turn)
            case _:
                pass
        self.queue.append(message)
        self.queued_bytes += message.size
        self.overflowed = self.overflowed or self.queued_bytes > LIMIT
        self._more.set()

    async def take(self) -> OutboundMessage:
        """The oldest message; waits for one."""
        while not self.queue:
            self._more = anyio.Event()
            await self._more.wait()
        message = self.queue.popleft()
        self.queued_bytes -= message.size
        return message

    def drop_unnumbered(self) -> None:
        """The connection is lost: drafts and acknowledgements that wait would be stale on the next one."""
        kept = [m for m in self.queue if not isinstance(m.shown, _UNNUMBERED)]
        self.queue.clear()
        self.queue.extend(kept)
        self.queued_bytes = sum(message.size for message in kept)

    def _newest_is_draft_of(self, utterance: int) -> bool:
        if not self.queue:
            return False
        newest = self.queue[-1].shown
        return isinstance(newest, do.ShowDraft) and newest.utterance == utterance

    def drop_audio(self, turn: int) -> None:
        """The client is to stop playing: audio of this turn that still waits is not sent."""
        stale = [m for m in self.queue if m.is_audio_of(turn)]
        for message in stale:
            self.queue.remove(message)
            self.queued_bytes -= message.size
