"""What waits to be sent to one client.

Nobody waits for a slow client: a newer draft or acknowledgement replaces the older
one that still waits, and a client behind by more than the limit loses its session.
"""

from collections import deque
from dataclasses import dataclass, field

import anyio

from app.domain.dialog import effects as do

LIMIT = 32 << 20
"""Bytes that may wait: about fifteen minutes of reply audio."""


@dataclass(frozen=True, slots=True)
class AudioAcknowledged:
    samples: int


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    shown: do.Shown | AudioAcknowledged
    ttfs_ms: int | None = None

    @property
    def size(self) -> int:
        return 200 + (len(self.shown.chunk.pcm) if isinstance(self.shown, do.PlayAudio) else 0)


@dataclass(slots=True)
class Outbox:
    letters: deque[OutboundMessage] = field(default_factory=deque)
    waiting: int = 0
    """Bytes."""
    overflowed: bool = False
    _more: anyio.Event = field(default_factory=anyio.Event)

    def put(self, letter: OutboundMessage) -> None:
        match letter.shown:
            case do.ShowDraft(utterance=utterance) if self._newest_is_draft_of(utterance):
                self.waiting -= self.letters.pop().size
            case AudioAcknowledged() if self.letters and isinstance(self.letters[-1].shown, AudioAcknowledged):
                self.waiting -= self.letters.pop().size
            case do.ShowReplyCancelled(turn):
                self._drop_audio(turn)
            case _:
                pass
        self.letters.append(letter)
        self.waiting += letter.size
        self.overflowed = self.overflowed or self.waiting > LIMIT
        self._more.set()

    async def take(self) -> OutboundMessage:
        """The oldest letter, when there is one."""
        while not self.letters:
            self._more = anyio.Event()
            await self._more.wait()
        letter = self.letters.popleft()
        self.waiting -= letter.size
        return letter

    def _newest_is_draft_of(self, utterance: int) -> bool:
        if not self.letters:
            return False
        newest = self.letters[-1].shown
        return isinstance(newest, do.ShowDraft) and newest.utterance == utterance

    def _drop_audio(self, turn: int) -> None:
        stale = [x for x in self.letters if isinstance(x.shown, do.PlayAudio) and x.shown.turn == turn]
        for letter in stale:
            self.letters.remove(letter)
            self.waiting -= letter.size
