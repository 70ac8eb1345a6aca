"""What the spool says about a session, beside its sound: a line for each thing that happened."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

import msgspec

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.recording.manifest import ArchivedChunk, ArchivedFinal, ArchivedReply, Manifest, tile
from app.domain.tenant import OPEN
from app.runtime.recording.session_log import SessionLog

JOURNAL, STORED = "journal", "stored"
"""The recorder writes the one, the uploader the other; so each log has one writer."""
AUDIO, REPLY = "audio-", "reply-"


class SessionOpened(msgspec.Struct, frozen=True, tag="opened"):
    session: str
    started: str
    audio: str
    tenant: str = OPEN.name


class FinalLogged(msgspec.Struct, frozen=True, tag="final"):
    final: ArchivedFinal


class ReplyLogged(msgspec.Struct, frozen=True, tag="replied"):
    number: int
    reply: ArchivedReply


class SessionEnded(msgspec.Struct, frozen=True, tag="ended"):
    at: str


class ChunkStored(msgspec.Struct, frozen=True, tag="chunk"):
    chunk: ArchivedChunk


class ReplyStored(msgspec.Struct, frozen=True, tag="reply"):
    number: int
    key: str
    samples: int
    sha256: str


def sound(start: int, pcm: bytes) -> bytes:
    """A record of audio: the session's sample it begins at, and the samples."""
    return start.to_bytes(8, "little") + pcm


Entry: TypeAlias = SessionOpened | FinalLogged | ReplyLogged | SessionEnded | ChunkStored | ReplyStored
encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Entry)


@dataclass(slots=True)
class SessionJournal:
    """One session, as far as the spool knows it."""

    opened: SessionOpened | None = None
    ended: str | None = None
    finals: list[ArchivedFinal] = field(default_factory=list)
    replies: dict[int, ArchivedReply] = field(default_factory=dict)
    chunks: dict[int, ArchivedChunk] = field(default_factory=dict)
    """Those that are stored, by their first sample."""
    voices: dict[int, ReplyStored] = field(default_factory=dict)
    """Replies whose sound is stored."""

    def take(self, entry: Entry) -> None:
        match entry:
            case SessionOpened():
                self.opened = entry
            case FinalLogged(final):
                self.finals.append(final)
            case ReplyLogged(number, reply):
                self.replies[number] = reply
            case SessionEnded(at):
                self.ended = at
            case ChunkStored(chunk):
                self.chunks[chunk.start] = chunk
            case ReplyStored(number):
                self.voices[number] = entry
            case _:
                assert_never(entry)

    def manifest(self, *, is_live: bool) -> Manifest:
        """What is stored of the session, and what was said in it."""
        assert self.opened is not None
        chunks = tuple(chunk for _, chunk in sorted(self.chunks.items()))
        samples = chunks[-1].end if chunks else 0
        return Manifest(
            self.opened.session,
            self.opened.started,
            None if is_live else self.ended,
            recovered=not is_live and self.ended is None,
            samples=samples,
            chunks=chunks,
            finals=tile(self.finals, samples),
            replies=tuple(self._with_voice(number, reply) for number, reply in sorted(self.replies.items())),
            audio=self.opened.audio,
            tenant=self.opened.tenant,
        )

    def _with_voice(self, number: int, reply: ArchivedReply) -> ArchivedReply:
        voice = self.voices.get(number)
        return replace(reply, key=voice.key, samples=voice.samples, sha256=voice.sha256) if voice else reply


async def read_journal(session_log: SessionLog, session: str) -> SessionJournal:
    """Everything both logs say."""
    journal = SessionJournal()
    for log in (JOURNAL, STORED):
        for record in await session_log.read(session, log):
            journal.take(_decoder.decode(record))
    return journal


@dataclass(frozen=True, slots=True)
class AssembledAudio:
    pcm: bytes
    lost: tuple[tuple[int, int], ...]
    """Samples that are silence because their record was damaged."""


def assembled(records: Sequence[bytes], start: int, end: int | None) -> AssembledAudio:
    """The audio from `start` on, to `end` where it is known, each sample in its place."""
    pcm = bytearray()
    lost: list[tuple[int, int]] = []
    for record in records:
        at = int.from_bytes(record[:8], "little")
        _fill(pcm, lost, start, at)
        pcm += record[8:]
    if end is not None:
        _fill(pcm, lost, start, end)
    return AssembledAudio(bytes(pcm), tuple(lost))


def _fill(pcm: bytearray, lost: list[tuple[int, int]], start: int, to: int) -> None:
    here = start + len(pcm) // BYTES_PER_SAMPLE
    if here < to:
        lost.append((here, to))
        pcm += bytes((to - here) * BYTES_PER_SAMPLE)
