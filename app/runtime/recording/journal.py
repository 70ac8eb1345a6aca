"""The session journal: what happened in one session, decoded from its two event logs in the session log.

The recorder writes `journal`, the uploader `stored`, so that each log has one writer. An
entry is a JSON object; its tag and fields are a stored format.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

import msgspec
from anyio import to_thread

from app.domain.errors import BlobUnreadable
from app.domain.recording.manifest import ArchivedChunk, ArchivedFinal, ArchivedReply, Manifest, tile
from app.domain.tenant import DEFAULT_TENANT
from app.json_input import decode_json
from app.runtime.recording.session_log import SessionLog

JOURNAL, STORED = "journal", "stored"
"""Names of the two event logs."""
WHOLE = "whole"
"""Name of the log that says that all of the session is in the blob store, and its row in the index may be missing."""
ATTEMPT = "attempt"
"""Name of the log that marks a recording which is being made of a file."""
AUDIO, REPLY = "audio-", "reply-"
"""Prefixes of the logs of audio: of the user by first sample, of the replies by number."""
UNFINISHED = "unfinished"
"""`cancelled` of a reply that was under way when the process died: its text is lost, its audio is kept."""


class SessionOpened(msgspec.Struct, frozen=True, tag="opened"):
    session: str
    started: str
    audio: str
    tenant: str = DEFAULT_TENANT.name
    person: str | None = None


class FinalLogged(msgspec.Struct, frozen=True, tag="final"):
    final: ArchivedFinal


class SpeakerLogged(msgspec.Struct, frozen=True, tag="speaker"):
    """The speaker label of a final that is logged already."""

    utterance: int
    speaker: int


class ReplyLogged(msgspec.Struct, frozen=True, tag="replied"):
    number: int
    reply: ArchivedReply


class SessionEnded(msgspec.Struct, frozen=True, tag="ended"):
    at: str
    warnings: tuple[str, ...] = ()
    """Of a recording made of a file: what of it could not be decoded."""


class ChunkStored(msgspec.Struct, frozen=True, tag="chunk"):
    chunk: ArchivedChunk


class ReplyStored(msgspec.Struct, frozen=True, tag="reply"):
    number: int
    key: str
    samples: int
    sha256: str


Entry: TypeAlias = SessionOpened | FinalLogged | SpeakerLogged | ReplyLogged | SessionEnded | ChunkStored | ReplyStored
encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Entry)


@dataclass(slots=True)
class SessionJournal:
    """The decoded entries of one session."""

    opened: SessionOpened | None = None
    ended: str | None = None
    warnings: tuple[str, ...] = ()
    finals: list[ArchivedFinal] = field(default_factory=list)
    replies: dict[int, ArchivedReply] = field(default_factory=dict)
    """Replies that are over, by number."""
    chunks: dict[int, ArchivedChunk] = field(default_factory=dict)
    """Chunks in the blob store, by their first sample."""
    reply_audio: dict[int, ReplyStored] = field(default_factory=dict)
    """Replies whose audio is in the blob store, by number."""

    def apply(self, entry: Entry) -> None:
        """Take in one entry. The same entry twice is no error, except for finals."""
        match entry:
            case SessionOpened():
                self.opened = entry
            case FinalLogged(final):
                self.finals.append(final)
            case SpeakerLogged(utterance, speaker):
                self.finals = [
                    replace(final, speaker=speaker) if final.utterance == utterance else final for final in self.finals
                ]
            case ReplyLogged(number, reply):
                self.replies[number] = reply
            case SessionEnded(at, warnings):
                self.ended, self.warnings = at, warnings
            case ChunkStored(chunk):
                self.chunks[chunk.start] = chunk
            case ReplyStored(number):
                self.reply_audio[number] = entry
            case _:
                assert_never(entry)

    def manifest(self, *, is_live: bool) -> Manifest:
        """The manifest of what is in the blob store. `opened` must be there."""
        assert self.opened is not None
        chunks = tuple(chunk for _, chunk in sorted(self.chunks.items()))
        samples = chunks[-1].end if chunks else 0
        numbers = sorted(self.replies if is_live else self.replies.keys() | self.reply_audio.keys())
        return Manifest(
            self.opened.session,
            self.opened.started,
            None if is_live else self.ended,
            recovered=not is_live and self.ended is None,
            samples=samples,
            chunks=chunks,
            finals=tile(self.finals, samples),
            replies=tuple(self._reply(number) for number in numbers),
            audio=self.opened.audio,
            tenant=self.opened.tenant,
            person=self.opened.person,
            warnings=self.warnings,
        )

    def _reply(self, number: int) -> ArchivedReply:
        reply = self.replies.get(number) or ArchivedReply(self._newest_turn, "", cancelled=UNFINISHED)
        audio = self.reply_audio.get(number)
        return replace(reply, key=audio.key, samples=audio.samples, sha256=audio.sha256) if audio else reply

    @property
    def _newest_turn(self) -> int:
        return max((final.turn or 0 for final in self.finals), default=0)


@dataclass(slots=True)
class JournalReader:
    """Follows one session's journal: each refresh reads what was appended since the one before, and no more."""

    session_log: SessionLog
    session: str
    journal: SessionJournal = field(default_factory=SessionJournal)
    _offset: int = 0
    """In the log `journal`."""
    _has_stored: bool = False

    async def refresh(self) -> SessionJournal:
        """The journal up to now. Raises a ProviderError; BlobUnreadable for what is no entry of this version."""
        records, offset = await self.session_log.read_from(self.session, JOURNAL, self._offset)
        stored = [] if self._has_stored else await self.session_log.read(self.session, STORED)
        for entry in await to_thread.run_sync(_decode, self.session, [*records, *stored]):
            self.journal.apply(entry)
        self._offset, self._has_stored = offset, True
        return self.journal

    async def append_stored(self, entry: ChunkStored | ReplyStored) -> None:
        """Log and apply what the uploader, which is the one writer of `stored`, has put into the blob store."""
        await self.session_log.append(self.session, STORED, [encode(entry)])
        self.journal.apply(entry)


def _decode(session: str, records: Sequence[bytes]) -> list[Entry]:
    try:
        return [decode_json(record, _decoder) for record in records]
    except msgspec.DecodeError as error:
        raise BlobUnreadable("session log", f"{session}: an entry cannot be read: {error}") from error


async def read_journal(session_log: SessionLog, session: str) -> SessionJournal:
    """The journal as both logs have it now; empty where there are none."""
    return await JournalReader(session_log, session).refresh()
