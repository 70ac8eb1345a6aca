"""A session's audio and words, on their way to the local disk.

What is heard is written to the spool a few times a second and only then acknowledged
to the client; the archive stores it from there. While the disk is behind, listening
waits, and with it the client's socket: no sample is dropped, and none is acknowledged
that is not kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import structlog

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.errors import ProviderError
from app.domain.recording.manifest import ArchivedFinal, ArchivedReply
from app.runtime.recording import journal as jr
from app.runtime.recording.session_log import SessionLog

WRITE_EVERY_S = 0.25
"""Between two writes; so also between two acknowledgements."""
WAITING = ms(5_000) * BYTES_PER_SAMPLE
"""Bytes that may wait for the disk; then listening waits. Ten times as much of a reply's sound, then it is cut."""
LAST_PATIENCE_S = 5.0
"""How long the end of a session waits for a disk that is full."""

_log = structlog.get_logger("parley.archive")


def ignore_acknowledgement(_samples: int) -> None:
    """Nobody waits for acknowledgements."""


@dataclass(slots=True)
class Recorder:
    """What one session leaves behind; nothing where `keeps` is False."""

    session_log: SessionLog
    opened: jr.SessionOpened
    enabled: bool = True
    chunk_ms: int = 10_000
    write_every_s: float = WRITE_EVERY_S
    disk_timeout_s: float = 30.0
    """How long the disk may be full before the session ends."""
    acknowledge: Callable[[int], None] = ignore_acknowledgement
    """Told how many samples from the session's first are safe."""
    chunk_closed: Callable[[], None] = lambda: None
    """Told when one more chunk may be stored."""
    received: int = 0
    """Samples."""
    written: int = 0
    """Samples on the disk."""
    _pcm: bytearray = field(default_factory=bytearray)
    _entries: list[bytes] = field(default_factory=list)
    _replies: int = 0
    _words: str = ""
    _voice: dict[int, bytearray] = field(default_factory=dict)
    _voice_waiting: int = 0
    _more: anyio.Event = field(default_factory=anyio.Event)
    _full: anyio.Event = field(default_factory=anyio.Event)
    _less: anyio.Event = field(default_factory=anyio.Event)
    _writing: anyio.Lock = field(default_factory=anyio.Lock)

    def consent(self, keeps: bool) -> bool:
        """Say whether this session is kept. Behind its first audio nothing changes, and False is returned."""
        if self.received and keeps != self.enabled:
            return False
        self.enabled = keeps
        return True

    async def write_audio(self, chunk: AudioChunk) -> None:
        """Take a chunk; waits while the disk is behind."""
        self.received += chunk.samples
        if not self.enabled:
            return
        self._pcm += chunk.pcm
        self._more.set()
        while len(self._pcm) > WAITING:
            self._less = anyio.Event()
            self._full.set()
            await self._less.wait()

    def record(self, effect: do.Effect, ttfs_ms: int | None) -> None:
        """Remember what belongs beside the audio."""
        if not self.enabled:
            return
        match effect:
            case do.ShowFinal():
                self._enter(jr.FinalLogged(archived_final(effect, ttfs_ms)))
            case do.ShowReplyStart():
                self._words = ""
            case do.ShowReplyDelta(text=text):
                self._words += text
            case do.PlayAudio(chunk=chunk) if self._voice_waiting < 10 * WAITING:
                self._voice.setdefault(self._replies + 1, bytearray()).extend(chunk.pcm)
                self._voice_waiting += len(chunk.pcm)
            case do.ShowReply(turn, text):
                self._close_reply(ArchivedReply(turn, text))
            case do.ShowReplyCancelled(turn, reason) | do.RecordReplyCancelled(turn, reason):
                self._close_reply(ArchivedReply(turn, self._words.strip(), cancelled=reason))
            case _:
                pass

    def _close_reply(self, reply: ArchivedReply) -> None:
        self._replies += 1
        self._words = ""
        self._enter(jr.ReplyLogged(self._replies, reply))

    def _enter(self, entry: jr.Entry) -> None:
        self._entries.append(jr.encode(entry))
        self._more.set()

    async def run(self) -> None:
        """Write for ever. Raises ProviderBusy or ProviderDown where the disk stays full."""
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            await self._write_all(self.disk_timeout_s)
            with anyio.move_on_after(self.write_every_s):  # whoever speaks faster than time is written as it comes
                await self._full.wait()
            self._full = anyio.Event()

    async def finish(self, ended: str) -> None:
        """Write everything that is left. Raises ProviderBusy or ProviderDown where that fails; it is unacknowledged."""
        if self.received and self.enabled:
            self._enter(jr.SessionEnded(ended))
            try:
                await self._write_all(min(LAST_PATIENCE_S, self.disk_timeout_s))
            except ProviderError:
                _log.error("audio lost", session=self.opened.session, samples=self.received - self.written)
                raise

    async def _write_all(self, patience_s: float) -> None:
        began = anyio.current_time()
        while True:
            try:
                with anyio.CancelScope(shield=True):  # what is begun is written whole, and counted
                    await self._write()
            except ProviderError:
                if anyio.current_time() - began > patience_s:
                    raise
                await anyio.sleep(self.write_every_s)
            else:
                return

    async def _write(self) -> None:
        """All that waits. After an error what is not yet written waits still."""
        async with self._writing:
            if not self.received:
                return  # a session without audio leaves nothing
            if not self.written:
                await self._append(jr.JOURNAL, jr.encode(self.opened))
            await self._append_audio()
            await self._write_voices()
            if entries := tuple(self._entries):
                await self._append(jr.JOURNAL, *entries)
                del self._entries[: len(entries)]

    async def _append_audio(self) -> None:
        while self._pcm:
            room = (self._segment + ms(self.chunk_ms) - self.written) * BYTES_PER_SAMPLE
            piece = bytes(self._pcm[:room])
            await self._append(f"{jr.AUDIO}{self._segment:012d}", jr.sound(self.written, piece))
            begun = self.written and self.written == self._segment
            del self._pcm[: len(piece)]
            self.written += len(piece) // BYTES_PER_SAMPLE
            self._less.set()
            self.acknowledge(self.written)
            if begun:  # so the chunk before it will not grow any more
                self.chunk_closed()

    async def _write_voices(self) -> None:
        for number, voice in sorted(self._voice.items()):
            if piece := bytes(voice):
                await self._append(f"{jr.REPLY}{number:04d}", piece)
                del voice[: len(piece)]
                self._voice_waiting -= len(piece)
            if not voice and number <= self._replies:
                del self._voice[number]

    async def _append(self, log: str, *records: bytes) -> None:
        await self.session_log.append(self.opened.session, log, records)

    @property
    def _segment(self) -> int:
        """First sample of the chunk that is being written."""
        return self.written - self.written % ms(self.chunk_ms)


def archived_final(final: do.ShowFinal, ttfs_ms: int | None) -> ArchivedFinal:
    """Return the manifest's record of a final, with the samples of its own utterance.

    `tile()` later extends it over the silence before the utterance.
    """
    return ArchivedFinal(
        final.start,
        final.end,
        final.hypothesis.text,
        turn=final.turn,
        utterance=final.utterance,
        speech=(final.start, final.speech_end),
        route=final.route.name if final.route else None,
        language=final.hypothesis.language,
        ttfs_ms=ttfs_ms,
    )
