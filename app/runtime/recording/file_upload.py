"""FileUpload: one uploaded file on its way to a recording, and the journal that it is restored from.

The file lies in the session log, in the folder of the recording that it becomes: its bytes in segments, and a journal
of its own. So it is encrypted, counted and synced as audio is. An entry is a JSON object; its tag and fields are a
stored format.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, assert_never

import anyio
import msgspec

from app.json_input import decode_json

JOURNAL = "upload"
"""Name of the log with the entries. Without it the session is a recording like any other."""
SEGMENT = "upload-"
"""Prefix of the logs with the bytes, named by the position of their first."""
SEGMENT_BYTES = 8 << 20


class FileOpened(msgspec.Struct, frozen=True, tag="opened"):
    tenant: str
    at: str
    """ISO 8601, UTC."""
    length: int | None = None
    """Bytes announced, for an upload that can be resumed; None: it is one request's body."""
    language: str | None = None
    person: str | None = None


class FileAccepted(msgspec.Struct, frozen=True, tag="accepted"):
    """It is whole, and its sender has been promised a recording."""

    length: int
    at: str


class AttemptStarted(msgspec.Struct, frozen=True, tag="attempt"):
    at: str


class AttemptInterrupted(msgspec.Struct, frozen=True, tag="interrupted"):
    """The service was told to stop: the attempt does not count."""

    at: str


class FileFailed(msgspec.Struct, frozen=True, tag="failed"):
    code: str
    message: str
    at: str
    warnings: tuple[str, ...] = ()


Entry: TypeAlias = FileOpened | FileAccepted | AttemptStarted | AttemptInterrupted | FileFailed
encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def decode(record: bytes) -> Entry:
    """Raises msgspec.DecodeError for what is no entry of this version."""
    return decode_json(record, _decoder)


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class FileUpload:
    session: str
    """The id of its recording."""
    opened: FileOpened
    received: int = 0
    """Bytes on the disk."""
    touched: float = 0.0
    """When it last grew or ended, on the clock of FileUploads."""
    is_accepted: bool = False
    is_running: bool = False
    is_receiving: bool = False
    """A request is appending to it."""
    attempts: int = 0
    """Started, and not interrupted on purpose."""
    retry_at: float = 0.0
    """Not before this time, on the event loop's clock."""
    failure: FileFailed | None = None
    has_remains: bool = False
    """Failed, and what was recorded of it by then may still be in the store."""
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while its logs are written or removed."""

    @property
    def reserved(self) -> int:
        """Bytes it has or will have."""
        return max(self.received, self.opened.length or 0) if self.failure is None else 0

    @property
    def is_resumable(self) -> bool:
        return self.opened.length is not None and not self.is_accepted and self.failure is None

    @property
    def is_job(self) -> bool:
        """Whether its sender has been promised a recording, or the reason why there is none."""
        return self.is_accepted or self.failure is not None

    @property
    def state(self) -> JobState:
        if self.failure is not None:
            return JobState.FAILED
        return JobState.RUNNING if self.is_running else JobState.QUEUED

    def apply(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            match entry:
                case FileOpened():
                    self.opened = entry
                case FileAccepted(length):
                    self.is_accepted, self.received = True, length
                case AttemptStarted():
                    self.attempts += 1
                case AttemptInterrupted():
                    self.attempts -= 1
                case FileFailed():
                    self.failure = entry
                case _:
                    assert_never(entry)


def is_file_log(name: str) -> bool:
    """Whether this log belongs to the file, and not to the recording that is made of it."""
    return name == JOURNAL or name.startswith(SEGMENT)


def segment_of(position: int) -> str:
    """The log that holds the byte at this position."""
    return f"{SEGMENT}{position - position % SEGMENT_BYTES:012d}"
