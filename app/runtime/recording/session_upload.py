"""From the spool into the store: one session's logs become its chunks and its manifest.

All that is known is read from the disk each time, so a session that lives, one that
ended and one that a crash left behind go the same way. Names say where the samples
lie, so whatever is stored twice is stored over itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import zip_longest

import msgspec
from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.ports import BlobStore
from app.domain.recording.manifest import ArchivedChunk, Manifest
from app.domain.tenant import OPEN
from app.media.codec import CONTENT_TYPE, encode
from app.runtime.recording import journal as jr
from app.runtime.recording.journal import SessionJournal, assembled, read_journal
from app.runtime.recording.session_log import SessionLog

MANIFEST_EVERY = 6
"""Chunks between two manifests of a session that lives; the last one is written when it is over."""


@dataclass(frozen=True, slots=True)
class SessionUpload:
    """One pass over a session. While it lives, what may still grow is left alone."""

    session_log: SessionLog
    store: BlobStore
    session: str
    is_live: bool
    stored: Callable[[], None] = lambda: None
    """Told after each blob."""

    async def run(self) -> None:
        """Raises a ProviderError; what was stored by then is not stored again."""
        journal = await read_journal(self.session_log, self.session)
        if journal.opened is None:  # it died before its first word
            if not self.is_live:
                await self.session_log.remove_session(self.session)
            return
        folder = folder_of(self.session, journal.opened.started)
        if not journal.chunks:
            await self.store.put(index_key(folder, journal.opened.tenant), b"{}", content_type="application/json")
        had = len(journal.chunks)
        await self._store_audio(journal, folder)
        await self._store_replies(journal, folder)
        if not self.is_live or _rounds(had) < _rounds(len(journal.chunks)):
            await write_manifest(self.store, folder, journal.manifest(is_live=self.is_live))
        if not self.is_live:
            await self.session_log.remove_session(self.session)

    async def _store_audio(self, journal: SessionJournal, folder: str) -> None:
        logs = [log for log in await self.session_log.log_names(self.session) if log.startswith(jr.AUDIO)]
        starts = [int(log.removeprefix(jr.AUDIO)) for log in logs]
        for log, start, end in zip_longest(logs, starts, starts[1:]):
            if end is None and self.is_live:
                continue
            if start not in journal.chunks:
                sound = assembled(await self.session_log.read(self.session, log), start, end)
                if sound.pcm:
                    audio = journal.opened.audio if journal.opened else "flac"
                    key, checksum = await self._put(f"{folder}/{start:012d}", sound.pcm, audio)
                    chunk = ArchivedChunk(
                        key, start, start + len(sound.pcm) // BYTES_PER_SAMPLE, checksum, lost=sound.lost
                    )
                    await self._note(journal, jr.ChunkStored(chunk))
            await self.session_log.remove_log(self.session, log)

    async def _store_replies(self, journal: SessionJournal, folder: str) -> None:
        logs = [log for log in await self.session_log.log_names(self.session) if log.startswith(jr.REPLY)]
        for log in logs:
            number = int(log.removeprefix(jr.REPLY))
            if number not in journal.replies and self.is_live:
                continue
            pcm = b"".join(await self.session_log.read(self.session, log))
            if number not in journal.voices and pcm and journal.opened:
                key, checksum = await self._put(f"{folder}/replies/{number:04d}", pcm, journal.opened.audio)
                await self._note(journal, jr.ReplyStored(number, key, len(pcm) // BYTES_PER_SAMPLE, checksum))
            await self.session_log.remove_log(self.session, log)

    async def _put(self, name: str, pcm: bytes, audio: str) -> tuple[str, str]:
        blob = await to_thread.run_sync(encode, pcm, audio)
        key = f"{name}.{audio}"
        await self.store.put(key, blob, content_type=CONTENT_TYPE[audio])
        self.stored()
        return key, sha256(blob).hexdigest()

    async def _note(self, journal: SessionJournal, entry: jr.ChunkStored | jr.ReplyStored) -> None:
        await self.session_log.append(self.session, jr.STORED, [jr.encode(entry)])
        journal.take(entry)


def _rounds(chunks: int) -> int:
    """How often a living session's manifest is written for so many chunks: for the first, and every so many."""
    return -(-chunks // MANIFEST_EVERY)


async def write_manifest(store: BlobStore, folder: str, manifest: Manifest) -> None:
    written = msgspec.json.format(msgspec.json.encode(manifest))
    await store.put(f"{folder}/manifest.json", written, content_type="application/json")


# -- names -------------------------------------------------------------------------


def folder_of(session: str, started: str) -> str:
    """Where a session's blobs lie."""
    return f"sessions/{date_of(session) or started[:10]}/{session}"


def index_prefix(tenant: str) -> str:
    """Where a tenant's sessions are listed. Those from before there were tenants are the default one's."""
    return "index/" if tenant == OPEN.name else f"tenants/{tenant}/"


def index_key(folder: str, tenant: str) -> str:
    """A blob beside the sessions: one for each, so that a tenant's are listed without chunks and without others'."""
    return folder.replace("sessions/", index_prefix(tenant), 1)


def date_of(session: str) -> str | None:
    """The day in a session's id; None where the id has none."""
    if len(session) != 32 or session[12] != "7":
        return None
    try:
        milliseconds = int(session[:12], 16)
    except ValueError:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()
