"""The numbered messages that a client was sent and has not confirmed: what is sent again when it returns."""

from collections import deque
from dataclasses import dataclass, field

LIMIT = 8 << 20
"""Bytes that are kept: four minutes of reply audio. Of a client that confirms nothing the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class SentFrame:
    number: int
    data: bytes
    is_text: bool


@dataclass(slots=True)
class SentFrames:
    """Numbers count from 1 without a gap."""

    limit: int = LIMIT
    newest: int = 0
    """Number of the newest message."""
    _frames: deque[SentFrame] = field(default_factory=deque)
    _bytes: int = 0

    def next_number(self) -> int:
        """For the next message."""
        self.newest += 1
        return self.newest

    def keep(self, frame: SentFrame) -> None:
        """Until it is confirmed, or too much is kept."""
        self._frames.append(frame)
        self._bytes += len(frame.data)
        while self._bytes > self.limit:
            self._forget_oldest()

    def confirm(self, number: int) -> None:
        """The client has every message up to this one."""
        while self._frames and self._frames[0].number <= number:
            self._forget_oldest()

    def can_resume_after(self, number: int) -> bool:
        """Whether every message behind this one is kept."""
        oldest = self._frames[0].number if self._frames else self.newest + 1
        return oldest - 1 <= number <= self.newest

    def after(self, number: int) -> list[SentFrame]:
        """The messages behind this one, the oldest first."""
        return [frame for frame in self._frames if frame.number > number]

    def _forget_oldest(self) -> None:
        self._bytes -= len(self._frames.popleft().data)
