"""Export: everything that is kept of sessions, as one ZIP archive that is sent while it is made."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import IO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import msgspec

from app.data.decision_json import encode_decisions
from app.domain.audit import AuditEntry, AuditFilter, person_target
from app.domain.conversations.export import message_json
from app.domain.conversations.message import StoredMessage
from app.domain.errors import BlobNotFound, BlobUnreadable, ProviderBusy
from app.domain.recording.listing import RecordingRef
from app.domain.recording.manifest import Manifest
from app.domain.recording.subtitles import as_srt, as_text, as_vtt
from app.domain.recording.wav import wav_header
from app.domain.routing.decision import DecisionFilter, DecisionRecord
from app.runtime.recording.person_search import PersonRecordings
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.rows_export import FoundRows, RowsExport
from app.runtime.recording.session_upload import encode_manifest

MAX_DECISIONS = 100_000
"""Of one session: one for each final."""
AUDIT_PAGE = 1000


@dataclass(slots=True)
class ExportReport:
    """What is in the archive, and what could not be put into it; its last file."""

    made: str
    """ISO 8601, UTC."""
    sessions: list[str] = field(default_factory=list)
    silence: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """By session: samples [start, end) that are silence, because their audio is missing or damaged."""
    unreadable: list[str] = field(default_factory=list)
    """Sessions and files that are left out, because they are damaged or missing."""
    conversations: list[str] = field(default_factory=list)
    """Their ids."""
    jobs: list[str] = field(default_factory=list)
    """Ids of transcription jobs, and of the recordings that they become."""
    withheld: list[str] = field(default_factory=list)
    """What whoever asked may not read; a sentence each."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found, readable or not."""
        return not (self.sessions or self.conversations or self.jobs or self.unreadable)


@dataclass(slots=True)
class RecordingExport:
    recordings: RecordingStore
    now: datetime
    decisions: Callable[[DecisionFilter], Awaitable[list[DecisionRecord]]] | None = None
    """None: they are left out."""
    audit: Callable[[AuditFilter], Awaitable[Sequence[AuditEntry]]] | None = None
    """None: its entries are left out."""
    messages: Callable[[str], Awaitable[Sequence[tuple[str, StoredMessage]]]] | None = None
    """Of a session, with their conversations; None: they are left out."""
    rows: RowsExport = field(default_factory=RowsExport)
    """Conversations and jobs of a tenant or a person."""
    report: ExportReport = field(init=False)
    """Of what was put into the archive by now."""
    _zip: "_ZipStream" = field(init=False)

    def __post_init__(self) -> None:
        self._zip = _ZipStream(self.now)
        self.report = ExportReport(self.now.isoformat(timespec="milliseconds"))

    async def session(self, manifest: Manifest) -> AsyncGenerator[bytes, None]:
        """The archive of one session. Raises a ProviderError, in the middle too."""
        async with aclosing(self._session(manifest)) as pieces:
            async for piece in pieces:
                yield piece
        yield self._finish()

    async def tenant(self, tenant: str) -> AsyncGenerator[bytes, None]:
        """The archive of all sessions of a tenant, of its conversations, jobs and audit entries.

        Raises a ProviderError, in the middle too.

        A session whose manifest cannot be read is left out and named in the report.
        """
        async with aclosing(self.recordings.list_refs(tenant=tenant)) as refs:
            async for ref in refs:
                async with aclosing(self._recording(ref)) as pieces:
                    async for piece in pieces:
                        yield piece
        async with aclosing(self._rows(await self.rows.find(tenant))) as pieces:
            async for piece in pieces:
                yield piece
        async with aclosing(self._audit("audit.jsonl", AuditFilter(tenant=tenant))) as pieces:
            async for piece in pieces:
                yield piece
        yield self._finish()

    async def person(self, recordings: PersonRecordings) -> AsyncGenerator[bytes, None]:
        """The archive of what one person has: recordings, conversations, jobs, and audit entries of such exports.

        Every session that may be the person's, because its manifest cannot be read, is named in the report. Raises a
        ProviderError, in the middle too.
        """
        self.report.unreadable += [ref.session for ref in recordings.unreadable]
        for ref in recordings.found:
            async with aclosing(self._recording(ref)) as pieces:
                async for piece in pieces:
                    yield piece
        async with aclosing(self._rows(recordings.rows)) as pieces:
            async for piece in pieces:
                yield piece
        exports = AuditFilter(tenant=recordings.tenant, target=person_target(recordings.person))
        async with aclosing(self._audit("audit.jsonl", exports)) as pieces:
            async for piece in pieces:
                yield piece
        yield self._finish()

    async def _recording(self, ref: RecordingRef) -> AsyncGenerator[bytes, None]:
        """Nothing, where its manifest cannot be read."""
        try:
            manifest = await self.recordings.manifest_at(ref)
        except BlobNotFound:
            return  # begun, and nothing of it is stored yet; or deleted since it was listed
        except BlobUnreadable:
            self.report.unreadable.append(ref.session)
            return
        async with aclosing(self._session(manifest)) as pieces:
            async for piece in pieces:
                yield piece

    async def _session(self, manifest: Manifest) -> AsyncGenerator[bytes, None]:
        folder = manifest.session
        self.report.sessions.append(manifest.session)
        yield self._zip.file(f"{folder}/manifest.json", encode_manifest(manifest))
        for name, text in _transcripts(manifest).items():
            yield self._zip.file(f"{folder}/{name}", text.encode())
        with self._zip.open(f"{folder}/audio.wav") as file:
            file.write(wav_header(manifest.samples))
            silence: list[tuple[int, int]] = []
            pieces = self.recordings.read_pcm(manifest, on_loss=lambda start, end: silence.append((start, end)))
            async with aclosing(pieces):
                async for pcm in pieces:
                    file.write(pcm)
                    yield self._zip.taken()
        if silence:
            self.report.silence[manifest.session] = silence
        for number, reply in enumerate(manifest.replies, 1):
            if reply.key is not None:
                name = f"{folder}/replies/{number:04d}.wav"
                try:
                    pcm = await self.recordings.read_audio_blob(reply.key, reply.samples, reply.sha256)
                except (BlobNotFound, BlobUnreadable):
                    self.report.unreadable.append(name)
                else:
                    yield self._zip.file(name, wav_header(reply.samples) + pcm, compress=False)
        for transcript in manifest.transcripts:
            name = f"{folder}/transcripts/{transcript.key.rpartition('/')[2]}"
            try:
                yield self._zip.file(name, await self.recordings.store.get(transcript.key))
            except (BlobNotFound, BlobUnreadable):
                self.report.unreadable.append(name)
        if self.messages is not None:
            yield await self._messages(manifest.session, f"{folder}/messages.json")
        if self.decisions is not None:
            criteria = DecisionFilter(session=manifest.session, limit=MAX_DECISIONS)
            yield self._zip.file(f"{folder}/decisions.json", encode_decisions(await self.decisions(criteria)))
        async with aclosing(self._audit(f"{folder}/audit.jsonl", AuditFilter(target=manifest.session))) as entries:
            async for piece in entries:
                yield piece

    async def _rows(self, rows: FoundRows) -> AsyncGenerator[bytes, None]:
        self.report.conversations += [conversation.id for conversation in rows.conversations]
        self.report.jobs += [job.id for job in rows.jobs]
        async with aclosing(self.rows.files(rows)) as files:
            async for name, content in files:
                yield self._zip.file(name, content)

    async def _messages(self, session: str, name: str) -> bytes:
        """What the session has in conversations: its replies are there as they were played."""
        assert self.messages is not None
        try:
            found = await self.messages(session)
        except ProviderBusy:  # the database is away, and the recording is not
            self.report.unreadable.append(name)
            return b""
        content = [{"conversation": conversation, **message_json(message)} for conversation, message in found]
        return self._zip.file(name, msgspec.json.format(msgspec.json.encode(content))) if content else b""

    async def _audit(self, name: str, criteria: AuditFilter) -> AsyncGenerator[bytes, None]:
        """One entry a line, the newest first."""
        if self.audit is None:
            return
        before: str | None = None
        with self._zip.open(name, compress=True) as file:
            while True:
                entries = await self.audit(replace(criteria, before=before, limit=AUDIT_PAGE))
                file.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
                yield self._zip.taken()
                if len(entries) < AUDIT_PAGE:
                    return
                before = entries[-1].id

    def _finish(self) -> bytes:
        report = self._zip.file("export.json", msgspec.json.format(msgspec.json.encode(self.report)))
        return report + self._zip.close()


def _transcripts(manifest: Manifest) -> dict[str, str]:
    segments = [final.segment for final in manifest.finals if final.text]
    return {
        "transcript.txt": as_text(segments),
        "transcript.srt": as_srt(segments),
        "transcript.vtt": as_vtt(segments),
    }


class _Pieces:
    """A file that cannot be sought: what is written to it is taken from it."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


class _ZipStream:
    """Writes a ZIP archive into memory, from where it is taken piece by piece."""

    def __init__(self, now: datetime) -> None:
        self._pieces = _Pieces()
        self._zip = ZipFile(cast(IO[bytes], self._pieces), "w")
        self._date = (now.year, now.month, now.day, now.hour, now.minute, now.second)

    def file(self, name: str, content: bytes, *, compress: bool = True) -> bytes:
        """A whole file."""
        self._zip.writestr(self._info(name, compress=compress), content)
        return self.taken()

    def open(self, name: str, *, compress: bool = False) -> IO[bytes]:
        """A file to write to, of any length; one at a time."""
        return self._zip.open(self._info(name, compress=compress), "w", force_zip64=True)

    def close(self) -> bytes:
        self._zip.close()
        return self.taken()

    def taken(self) -> bytes:
        """What was written since this was last called."""
        pieces = bytes(self._pieces.written)
        self._pieces.written.clear()
        return pieces

    def _info(self, name: str, *, compress: bool) -> ZipInfo:
        info = ZipInfo(name, self._date)
        info.compress_type = ZIP_DEFLATED if compress else ZIP_STORED
        info.external_attr = 0o600 << 16
        return info
