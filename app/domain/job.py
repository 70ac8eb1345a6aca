"""Transcription jobs: what each step makes of one, who may take it, and when it is tried again.

A job is one uploaded or linked file, from its first byte to its recording. It is a row that every process sees; a
process may do something with it while it has the lease. Each taking raises the fencing number, so that whoever lost
the lease is known by an older number, however late it comes.

    receiving ─accept─▶ queued ─take─▶ running ─complete─▶ done
        │                 ▲               │ ├─fail─▶ failed
        │                 └──interrupt────┘ │
        └────────────────── cancel ─────────┴─▶ cancelled
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.errors import BlobNotFound, ClientError, ClientFault, LeaseLost, SessionStillLive

MAX_ATTEMPTS = 5
"""That end in an error."""
MAX_CRASHES = 20
"""Attempts that end with their process, which is rarely the fault of the file."""
FIRST_CRASH_PAUSE_S, LONGEST_CRASH_PAUSE_S = 5.0, 900.0
"""Behind the end of the lease, from the second such attempt on; each pause is twice as long as the one before."""
FIRST_PAUSE_S = 2.0
"""Before the second attempt; each further pause is four times as long."""
LONGEST_PAUSE_S = 300.0
EXPIRE_AFTER = timedelta(days=1)
"""An unfinished upload that grew no more for so long is deleted."""
KEEP_FINISHED = timedelta(days=7)
"""So long what became of a job can be asked for."""
GIVEN_UP, INTERRUPTED = "given_up", "interrupted"
"""Codes of failures."""


class JobState(StrEnum):
    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


class JobSource(StrEnum):
    UPLOAD = "upload"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class FilePart:
    """A piece of the file, as a blob."""

    start: int
    """Of its first byte in the file."""
    length: int
    key: str


@dataclass(frozen=True, slots=True)
class TranscriptionJob:
    id: str
    """Also that of the recording it becomes."""
    tenant: str
    created: datetime
    updated: datetime
    due: datetime
    """It is not taken before."""
    state: JobState = JobState.RECEIVING
    source: JobSource = JobSource.UPLOAD
    language: str | None = None
    person: str | None = None
    """Who speaks, where the sender says."""
    length: int | None = None
    """Bytes announced, for an upload that can be resumed; None: it is one request's body."""
    received: int = 0
    """Bytes in the blob store."""
    attended: bool = False
    """Its sender waits for the answer and was promised nothing: without the process that serves it, it fails."""
    attempts: int = 0
    """Started, and neither interrupted on purpose nor ended with their process."""
    crashes: int = 0
    """Attempts that ended with their process."""
    owner: str = ""
    """The process that has the lease."""
    lease_until: datetime | None = None
    fence: int = 0
    seconds_done: float = 0.0
    """Of audio, transcribed so far."""
    seconds_total: float | None = None
    """Of audio, as the file announces it; None where it is not known."""
    code: str = ""
    """Of a failure."""
    message: str = ""
    warnings: tuple[str, ...] = ()
    """What of the file could not be decoded."""
    finished: datetime | None = None
    has_remains: bool = False
    """It is finished, and its blobs may still be in the store."""
    conversation: str = ""
    """Where its text becomes a message that is answered; empty: nowhere."""
    message_id: int = 0
    """Of that message, so that it is stored once, however often that is tried."""
    profile: str = ""
    """Of the reply; empty: the conversation's."""
    key_terms: tuple[str, ...] = ()
    """Words that are likely in the file, besides the tenant's."""

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    @property
    def is_leased(self) -> bool:
        """Whether a process works on it, or did until its lease ran out."""
        return self.lease_until is not None

    @property
    def reserved(self) -> int:
        """Bytes it has or will have."""
        return 0 if self.is_finished else max(self.received, self.length or 0)

    # -- receiving -------------------------------------------------------------------

    def receive(self, offset: int, size: int, now: datetime) -> "TranscriptionJob":
        """So many bytes more; with the last one announced the file is accepted.

        Raises ClientError where they do not belong there, BlobNotFound where the upload was deleted meanwhile.
        """
        if self.state in (JobState.FAILED, JobState.CANCELLED):
            raise BlobNotFound(self.id)
        if self.state is not JobState.RECEIVING:
            raise ClientError(ClientFault.BAD_PACKET, "the upload is complete")
        if offset != self.received:
            raise ClientError(ClientFault.BAD_PACKET, f"the next byte is number {self.received}")
        grown = replace(self, received=offset + size, updated=now)
        if self.length is not None and grown.received > self.length:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the upload said it has {self.length} bytes")
        return grown.accept(now) if grown.received == self.length else grown

    def accept(self, now: datetime) -> "TranscriptionJob":
        """The file is whole; from now on its recording is promised."""
        if self.state is not JobState.RECEIVING:
            raise BlobNotFound(self.id)
        return replace(self, state=JobState.QUEUED, attended=False, owner="", lease_until=None, updated=now, due=now)

    def start(self, fence: int, now: datetime) -> "TranscriptionJob":
        """The attempt begins that its sender waits for. Raises LeaseLost."""
        self.require_lease(fence)
        return replace(self, state=JobState.RUNNING, attempts=self.attempts + 1, updated=now)

    # -- the lease -------------------------------------------------------------------

    @property
    def is_untried(self) -> bool:
        """Whether it waits, and no process has died in the middle of it.

        Of the others a process performs one at a time: so a file that kills it takes no other one with it twice.
        """
        return self.state is JobState.QUEUED and not self.crashes

    def is_takeable(self, now: datetime) -> bool:
        """Whether it waits for an attempt, or the process that made one is gone."""
        if self.state is JobState.QUEUED:
            return self.due <= now
        pause = timedelta(seconds=crash_pause_s(self.crashes))
        return self.state is JobState.RUNNING and not self.attended and self.is_abandoned(now - pause)

    def is_abandoned(self, now: datetime) -> bool:
        """Whether its lease has run out."""
        return self.lease_until is not None and self.lease_until <= now

    def take(self, owner: str, until: datetime, now: datetime) -> "TranscriptionJob":
        """An attempt begins. The job must be takeable, or its sender must wait for it."""
        has_crashed = self.state is JobState.RUNNING
        return replace(
            self,
            state=JobState.RUNNING,
            owner=owner,
            lease_until=until,
            fence=self.fence + 1,
            attempts=self.attempts if has_crashed else self.attempts + 1,
            crashes=self.crashes + has_crashed,
            updated=now,
            seconds_done=0.0,
        )

    def require_lease(self, fence: int) -> None:
        """Raises LeaseLost where another process has taken it since, or it is finished."""
        if self.fence != fence or self.state not in (JobState.RECEIVING, JobState.RUNNING):
            raise LeaseLost(self.id)

    def renew(
        self, fence: int, until: datetime, now: datetime, seconds_done: float, total: float | None
    ) -> "TranscriptionJob":
        """Raises LeaseLost."""
        self.require_lease(fence)
        return replace(self, lease_until=until, updated=now, seconds_done=seconds_done, seconds_total=total)

    def interrupt(self, fence: int, now: datetime, *, pause_s: float = 0.0, counts: bool = False) -> "TranscriptionJob":
        """The attempt is over without an outcome, and the next one begins after the pause. Raises LeaseLost."""
        self.require_lease(fence)
        return replace(
            self,
            state=JobState.QUEUED,
            owner="",
            lease_until=None,
            attempts=self.attempts if counts else self.attempts - 1,
            due=now + timedelta(seconds=pause_s),
            updated=now,
            seconds_done=0.0,
        )

    # -- the end ---------------------------------------------------------------------

    def complete(self, fence: int, now: datetime, warnings: Sequence[str], seconds: float) -> "TranscriptionJob":
        """Its recording, of so many seconds, is stored whole. Raises LeaseLost."""
        self.require_lease(fence)
        done = self._finish(JobState.DONE, now)
        return replace(done, warnings=tuple(warnings), seconds_done=seconds, seconds_total=seconds)

    def fail(self, code: str, message: str, now: datetime, warnings: Sequence[str] = ()) -> "TranscriptionJob":
        """No recording can be made of it."""
        attempts = min(self.attempts, MAX_ATTEMPTS)
        failed = self._finish(JobState.FAILED, now)
        return replace(failed, code=code, message=message, warnings=tuple(warnings), attempts=attempts)

    def cancel(self, now: datetime) -> "TranscriptionJob":
        """Whoever works on it loses the lease. A finished one stays as it is."""
        return self if self.is_finished else replace(self._finish(JobState.CANCELLED, now), fence=self.fence + 1)

    def cancel_idle(self, now: datetime) -> "TranscriptionJob":
        """The same, where nobody works on it. Raises SessionStillLive."""
        if self.state is JobState.RUNNING:
            raise SessionStillLive(self.id, is_job=True)
        return self.cancel(now)

    def clear(self) -> "TranscriptionJob":
        """Its blobs are removed."""
        return replace(self, has_remains=False)

    def _finish(self, state: JobState, now: datetime) -> "TranscriptionJob":
        return replace(
            self,
            state=state,
            owner="",
            lease_until=None,
            updated=now,
            finished=now,
            has_remains=True,
        )

    # -- expiry ----------------------------------------------------------------------

    def is_interrupted(self, now: datetime) -> bool:
        """Whether the process that served its waiting sender is gone."""
        return self.attended and not self.is_finished and self.is_abandoned(now)

    def is_expired(self, now: datetime) -> bool:
        """Whether it is to be deleted: unfinished and without progress, or finished for long."""
        if self.finished is not None:
            return now - self.finished > KEEP_FINISHED
        return self.state is JobState.RECEIVING and not self.attended and now - self.updated > EXPIRE_AFTER


def crash_pause_s(crashes: int) -> float:
    """Seconds behind the end of a lease before the job is taken again, after so many crashes before this one.

    The first may be anything; a file that kills the process again and again leaves it more and more time.
    """
    return min(LONGEST_CRASH_PAUSE_S, FIRST_CRASH_PAUSE_S * 2.0 ** min(crashes - 1, 16)) if crashes else 0.0


def retry_pause_s(attempts: int, chance: float, first_s: float = FIRST_PAUSE_S) -> float:
    """Seconds before the next attempt, after so many; `chance`, from 0 to 1, shortens them by up to half."""
    return min(LONGEST_PAUSE_S, first_s * 4.0 ** max(0, attempts - 1)) * (0.5 + chance / 2)
