"""Writes one session's audio and events to the session log, and acknowledges the audio that is durable.

The log is written a few times a second. While the disk is behind, write_audio() waits, and
with it the client's socket: no sample is dropped, and none is acknowledged that is not on
the disk. Each write takes what is buffered when it begins, audio first and then the events,
so events are never more than one write late, however slow the disk is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import msgspec
import structlog

from app.domain.audio import BYTES_PER_SAMPLE, AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.errors import ProviderError
from app.domain.recording.manifest import ArchivedFinal, ArchivedToolCall, archived_words
from app.domain.transcript import moved
from app.runtime.recording import journal as jr
from app.runtime.recording.audio_log import audio_record
from app.runtime.recording.reply_buffer import ReplyBuffer
from app.runtime.recording.session_log import SessionLog

WRITE_INTERVAL_S = 0.25
"""Between two writes; so also between two acknowledgements."""
MAX_BUFFERED_BYTES = ms(5_000) * BYTES_PER_SAMPLE
"""Audio of the user that may wait for the disk; above it write_audio() waits."""
MAX_REPLY_BYTES = 10 * MAX_BUFFERED_BYTES
FINAL_DISK_TIMEOUT_S = 5.0
"""How long the end of a session waits for a disk that is full."""
SESSION_ENDED = "session_ended"
"""`cancelled` of a reply that was under way when the session ended."""

_log = structlog.get_logger("parley.archive")


def ignore_acknowledgement(_samples: int) -> None:
    """For sessions whose client is not told what is durable."""


@dataclass(slots=True)
class Recorder:
    """Records one session; nothing where it is not `enabled`."""

    session_log: SessionLog
    opened: jr.SessionOpened
    enabled: bool = True
    chunk_ms: int = 10_000
    write_interval_s: float = WRITE_INTERVAL_S
    disk_timeout_s: float = 30.0
    """How long the disk may be full before the session ends."""
    acknowledge: Callable[[int], None] = ignore_acknowledgement
    """Called with the number of samples, from the session's first, that are durable."""
    on_chunk_closed: Callable[[], None] = lambda: None
    """Called when one more chunk can be uploaded."""
    warnings: tuple[str, ...] = ()
    """What of the audio could not be decoded, where it comes from a file."""
    is_consent_settled: bool = False
    """Something was said without audio, and it was kept or not, as the client wanted then."""
    received_samples: int = 0
    durable_samples: int = 0
    _pcm: bytearray = field(default_factory=bytearray)
    _entries: list[bytes] = field(default_factory=list)
    _replies: ReplyBuffer = field(default_factory=lambda: ReplyBuffer(MAX_REPLY_BYTES))
    _is_stopped: bool = False
    _is_opened: bool = False
    """Whether `opened` is in the log."""
    _pending: anyio.Event = field(default_factory=anyio.Event)
    _overfull: anyio.Event = field(default_factory=anyio.Event)
    _drained: anyio.Event = field(default_factory=anyio.Event)
    _writing: anyio.Lock = field(default_factory=anyio.Lock)

    def consent(self, enabled: bool) -> bool:
        """Set whether the session is recorded. After its first audio or text nothing changes, and False is returned."""
        if (self.received_samples or self.is_consent_settled) and enabled != self.enabled:
            return False
        self.enabled = enabled
        return True

    def name_person(self, person: str) -> bool:
        """Set who speaks. After the first audio nothing changes, and False is returned."""
        if self.received_samples and person != self.opened.person:
            return False
        self.opened = msgspec.structs.replace(self.opened, person=person)
        return True

    def stop(self) -> None:
        """Record nothing more, and do not write what is buffered, because the recording was deleted."""
        self.enabled, self._is_stopped = False, True
        self._drained.set()

    async def write_audio(self, chunk: AudioChunk) -> None:
        """Buffer a chunk of the user's audio; waits while too much of it is not on the disk."""
        self.received_samples += chunk.samples
        if not self.enabled:
            return
        self._pcm += chunk.pcm
        self._pending.set()
        while len(self._pcm) > MAX_BUFFERED_BYTES and not self._is_stopped:
            self._drained = anyio.Event()
            self._overfull.set()
            await self._drained.wait()

    def record(self, effect: do.Effect, ttfs_ms: int | None) -> None:
        """Buffer what belongs into the recording beside the user's audio: finals and replies."""
        if not self.enabled:
            return
        match effect:
            case do.ShowFinal():
                self._log_entry(jr.FinalLogged(_archived_final(effect, ttfs_ms)))
            case do.ShowSpeaker(_, utterance, speaker):
                self._log_entry(jr.SpeakerLogged(utterance, speaker))
            case do.ShowReplyStart(turn):
                self._replies.open(turn)
            case do.ShowReplyDelta(turn, text):
                self._replies.add_text(turn, text)
            case do.RecordToolCall(turn, call):
                self._replies.add_tool(turn, ArchivedToolCall(call.tool, call.arguments, call.result or ""))
            case do.PlayAudio(turn, chunk):
                self._replies.add_audio(turn, chunk.pcm)
            case do.ShowReply(turn, text):
                self._log_entry(self._replies.complete(turn, text))
            case do.ShowReplyCancelled(_, reason, played) | do.RecordReplyCancelled(_, reason, played):
                self._cancel_reply(reason, played)
            case do.StopPlayback(turn, _, played):
                self._log_reply(self._replies.interrupt(turn, played))
            case _:
                pass

    def _cancel_reply(self, reason: str, played: str | None = None) -> None:
        self._log_reply(self._replies.cancel(reason, played))

    def _log_reply(self, reply: jr.ReplyLogged | None) -> None:
        if reply is not None:
            self._log_entry(reply)

    def _log_entry(self, entry: jr.Entry) -> None:
        self._entries.append(jr.encode(entry))
        self._pending.set()

    async def run(self) -> None:
        """Write what is buffered, for ever. Raises ProviderBusy or ProviderDown where the disk stays full."""
        while True:
            await self._pending.wait()
            self._pending = anyio.Event()
            await self._write_with_retries(self.disk_timeout_s)
            with anyio.move_on_after(self.write_interval_s):  # audio faster than real time is written as it comes
                await self._overfull.wait()
            self._overfull = anyio.Event()

    async def finish(self, ended: str) -> None:
        """Write everything that is left. Raises ProviderBusy or ProviderDown where that fails; it is unacknowledged."""
        if self.received_samples and self.enabled:
            self._cancel_reply(SESSION_ENDED)
            self._log_entry(jr.SessionEnded(ended, self.warnings))
            try:
                await self._write_with_retries(min(FINAL_DISK_TIMEOUT_S, self.disk_timeout_s))
            except ProviderError:
                lost = self.received_samples - self.durable_samples
                _log.error("audio lost", session=self.opened.session, samples=lost)
                raise

    async def _write_with_retries(self, timeout_s: float) -> None:
        began = anyio.current_time()
        while True:
            try:
                with anyio.CancelScope(shield=True):  # what is begun is written whole, and counted
                    await self._write()
            except ProviderError:
                if anyio.current_time() - began > timeout_s:
                    raise
                await anyio.sleep(self.write_interval_s)
            else:
                return

    async def _write(self) -> None:
        """What is buffered now. After an error what is not yet written stays buffered."""
        async with self._writing:
            if not self.received_samples or self._is_stopped:
                return  # a session without audio leaves nothing
            if not self._is_opened:
                await self._append(jr.JOURNAL, jr.encode(self.opened))
                self._is_opened = True
            await self._append_audio(len(self._pcm))
            entries = tuple(self._entries)  # before the replies' audio: a reply in the journal has all of its audio
            await self._append_reply_audio()
            if entries:
                await self._append(jr.JOURNAL, *entries)
                del self._entries[: len(entries)]

    async def _append_audio(self, length: int) -> None:
        """The first `length` bytes that are buffered; what comes meanwhile is for the next write."""
        while length:
            left_in_chunk = (self._chunk_start + ms(self.chunk_ms) - self.durable_samples) * BYTES_PER_SAMPLE
            pcm = bytes(self._pcm[: min(length, left_in_chunk)])
            await self._append(f"{jr.AUDIO}{self._chunk_start:012d}", audio_record(self.durable_samples, pcm))
            closes_chunk = self.durable_samples and self.durable_samples == self._chunk_start
            del self._pcm[: len(pcm)]
            length -= len(pcm)
            self.durable_samples += len(pcm) // BYTES_PER_SAMPLE
            self._drained.set()
            self.acknowledge(self.durable_samples)
            if closes_chunk:  # a chunk is closed when the next one has begun
                self.on_chunk_closed()

    async def _append_reply_audio(self) -> None:
        for number, pcm in self._replies.waiting():
            await self._append(f"{jr.REPLY}{number:04d}", pcm)
            self._replies.written(number, len(pcm))

    async def _append(self, log: str, *records: bytes) -> None:
        await self.session_log.append(self.opened.session, log, records)

    @property
    def _chunk_start(self) -> int:
        """First sample of the chunk that is being written."""
        return self.durable_samples - self.durable_samples % ms(self.chunk_ms)


def _archived_final(final: do.ShowFinal, ttfs_ms: int | None) -> ArchivedFinal:
    """The final with the samples of its own utterance; tile() extends it over the silence before."""
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
        words=archived_words(moved(final.hypothesis.words, final.start)),
        speaker=final.speaker,
    )
