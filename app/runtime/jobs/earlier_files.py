"""EarlierFiles: takes over the uploaded files that earlier releases kept in the session log of one process.

There a file's bytes lie in segments (`upload-…`) and its state in a journal (`upload`), whose entries are JSON objects
with a tag.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias, assert_never

import anyio
import msgspec
import structlog

from app.domain.errors import BlobUnreadable, ParleyError
from app.domain.job import INTERRUPTED, FilePart, TranscriptionJob
from app.domain.recording.session_id import started_at
from app.json_input import decode_json
from app.runtime.jobs.file_uploads import FileUploads

JOURNAL = "upload"
SEGMENT = "upload-"
"""Prefix of the logs with the bytes, named by the position of their first."""
RETRY_EVERY_S = 5.0
"""While database or blob store are unavailable."""

_log = structlog.get_logger("parley.jobs")


class FileOpened(msgspec.Struct, frozen=True, tag="opened"):
    tenant: str
    at: str
    """ISO 8601, UTC."""
    length: int | None = None
    language: str | None = None
    person: str | None = None


class FileAccepted(msgspec.Struct, frozen=True, tag="accepted"):
    length: int
    at: str


class AttemptStarted(msgspec.Struct, frozen=True, tag="attempt"):
    at: str


class AttemptInterrupted(msgspec.Struct, frozen=True, tag="interrupted"):
    at: str


class FileFailed(msgspec.Struct, frozen=True, tag="failed"):
    code: str
    message: str
    at: str
    warnings: tuple[str, ...] = ()


Entry: TypeAlias = FileOpened | FileAccepted | AttemptStarted | AttemptInterrupted | FileFailed
encode = msgspec.json.Encoder().encode
decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


@dataclass(slots=True)
class EarlierFiles:
    files: FileUploads
    retry_every_s: float = RETRY_EVERY_S

    async def hold(self) -> None:
        """Find them, before the uploader takes them for recordings."""
        session_log = self.files.uploader.session_log
        for session, _ in await session_log.sessions():
            if JOURNAL in await session_log.log_names(session):
                self.files.uploader.held_sessions.add(session)

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs in the background, by name."""
        return {"earlier files": self._run}

    async def _run(self) -> None:
        while not await self.take_over():  # noqa: ASYNC110 because no store tells that it is back
            await anyio.sleep(self.retry_every_s)

    async def take_over(self) -> bool:
        """Make a job of each; False where database or blob store are unavailable. One that cannot be read stays."""
        session_log = self.files.uploader.session_log
        for session, _ in await session_log.sessions():
            names = await session_log.log_names(session)
            if JOURNAL not in names:
                continue
            try:
                await self._take_over(session, names)
            except (BlobUnreadable, msgspec.DecodeError) as error:  # another key, or a later version
                _log.error("upload cannot be read", session=session, message=str(error))
            except ParleyError as error:
                _log.warning("upload is not taken over yet", session=session, message=str(error))
                return False
        return True

    async def _take_over(self, session: str, names: list[str]) -> None:
        """Bytes, then the row, then the logs go: a crash between them leaves nothing out and makes nothing twice."""
        session_log = self.files.uploader.session_log
        entries = [decode_json(record, decoder) for record in await session_log.read(session, JOURNAL)]
        opened = next((entry for entry in entries if isinstance(entry, FileOpened)), None)
        if opened is not None and await self.files.jobs.get(session) is None:
            parts: list[FilePart] = []
            for name in (name for name in names if name.startswith(SEGMENT)):
                data = b"".join(await session_log.read(session, name))
                parts.append(await self.files.blobs.put(session, int(name.removeprefix(SEGMENT)), data))
            received = sum(part.length for part in parts)
            job = _job(session, opened, entries, received, self.files.now())
            await self.files.jobs.add(job, lambda _: None, parts)
        await session_log.remove_session(session)
        self.files.uploader.held_sessions.discard(session)
        self.files.notify()


def _job(session: str, opened: FileOpened, entries: Iterable[Entry], received: int, now: datetime) -> TranscriptionJob:
    job = TranscriptionJob(
        session, opened.tenant, started_at(session) or now, now, now, language=opened.language, person=opened.person
    )
    job, is_accepted, failure = replace(job, length=opened.length, received=received), False, None
    for entry in entries:
        match entry:
            case FileOpened():
                pass
            case FileAccepted(length):
                job, is_accepted = replace(job, received=length), True
            case AttemptStarted():
                job = replace(job, attempts=job.attempts + 1)
            case AttemptInterrupted():
                job = replace(job, attempts=job.attempts - 1)
            case FileFailed():
                failure = entry
            case _:
                assert_never(entry)
    if failure is not None:
        return job.fail(failure.code, failure.message, now, failure.warnings)
    if not is_accepted and opened.length is None:
        return job.fail(INTERRUPTED, "the service stopped before the file was transcribed", now)
    return job.accept(now) if is_accepted else job
