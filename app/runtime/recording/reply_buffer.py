"""The replies of one session on their way to the disk: text of the open one, audio that is not written yet."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from app.domain.recording.manifest import ArchivedReply, ArchivedToolCall
from app.runtime.recording.journal import ReplyLogged


@dataclass(slots=True)
class ReplyBuffer:
    """At most one reply is open; replies are numbered from 1 in the order they began."""

    max_bytes: int
    """Of audio that waits for the disk; what comes beyond is dropped from the recording."""
    _closed: int = 0
    """Number of the newest closed reply."""
    _turn: int | None = None
    """Of the open reply; None: none is open."""
    _text: str = ""
    _tools: tuple[ArchivedToolCall, ...] = ()
    _newest: ArchivedReply | None = None
    """The newest closed reply."""
    _pcm: dict[int, bytearray] = field(default_factory=dict)
    """By reply; without what is on the disk."""
    _waiting_bytes: int = 0

    def open(self, turn: int) -> None:
        self._turn, self._text, self._tools = turn, "", ()

    def add_text(self, turn: int, text: str) -> None:
        self._turn = turn
        self._text += text

    def add_tool(self, turn: int, call: ArchivedToolCall) -> None:
        self._turn = turn
        self._tools = (*self._tools, call)

    def add_audio(self, turn: int, pcm: bytes) -> None:
        self._turn = turn
        if self._waiting_bytes < self.max_bytes:
            self._pcm.setdefault(self._closed + 1, bytearray()).extend(pcm)
            self._waiting_bytes += len(pcm)

    def complete(self, turn: int, text: str) -> ReplyLogged:
        """Close the open reply, which was sent whole."""
        return self._close(ArchivedReply(turn, text, tools=self._tools))

    def cancel(self, reason: str, played: str | None = None) -> ReplyLogged | None:
        """Close the open reply with what was sent of it; None where none is open."""
        if self._turn is None:
            return None
        text = self._text.strip()
        return self._close(ArchivedReply(self._turn, text, cancelled=reason, played=played, tools=self._tools))

    def interrupt(self, turn: int, played: str) -> ReplyLogged | None:
        """The newest closed reply again, with what was heard of it; None where it is of another turn."""
        if self._newest is None or self._newest.turn != turn:
            return None
        self._newest = replace(self._newest, played=played)
        return ReplyLogged(self._closed, self._newest)

    def _close(self, reply: ArchivedReply) -> ReplyLogged:
        self._closed += 1
        self._turn, self._text, self._tools, self._newest = None, "", (), reply
        return ReplyLogged(self._closed, reply)

    def waiting(self) -> Iterator[tuple[int, bytes]]:
        """The audio to be written: number of the reply, PCM; written() follows each."""
        for number, pcm in sorted(self._pcm.items()):
            if pcm:
                yield number, bytes(pcm)

    def written(self, number: int, length: int) -> None:
        """So many bytes of this reply are on the disk."""
        del self._pcm[number][:length]
        self._waiting_bytes -= length
        if not self._pcm[number]:
            del self._pcm[number]
