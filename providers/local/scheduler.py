"""Who may use the cores next: finals before drafts, and every session in its turn."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Priority(IntEnum):
    """What waits for the work, most pressing first."""

    TURN = 0
    """Whether someone is done: a short piece of work that decides on a long one."""
    FINAL = 1
    DRAFT = 2
    RECORDING = 3
    """A file: nobody waits for its next sentence."""


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that waits."""

    number: int
    """Counts arrivals."""

    urgency: Priority
    session: Hashable
    kind: Hashable
    """Jobs of one kind may run as one batch."""

    arrived: float
    """Seconds, on the caller's clock."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait, and how long."""

    finals: int = 64
    """When so many finals wait, the next one is refused as busy; so it is with questions for turns."""

    drafts: int = 64
    """When so many drafts wait, the oldest one is dropped."""

    recordings: int = 64
    """When so many pieces of recordings wait, the next one is refused as busy."""

    draft_expires_after: float = 1.0
    """Seconds a draft may wait before it is worth nothing."""

    recording_waits: float = 5.0
    """Seconds after which a recording's piece stands with the drafts, so that it is never starved."""

    batch: int = 1
    """Jobs of one kind that run at once."""


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """Everything that waits, and whose turn it was last."""

    waiting: tuple[Job, ...] = ()
    served: Mapping[Hashable, int] = field(default_factory=dict)
    """Session -> the number of its job that ran last."""

    turns: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    backlog: WorkQueue
    dropped: tuple[Job, ...] = ()
    """Drafts that a newer one replaced or that no longer fit."""

    refused: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    backlog: WorkQueue
    batch: tuple[Job, ...] = ()
    expired: tuple[Job, ...] = ()


def admit(backlog: WorkQueue, job: Job, limits: QueueLimits) -> Admission:
    """The backlog with one more job: a session's newer draft takes the place of its older one."""
    waiting = backlog.waiting
    alike = [other for other in waiting if other.urgency is job.urgency]
    if job.urgency is not Priority.DRAFT:
        room = limits.finals if job.urgency < Priority.DRAFT else limits.recordings
        if len(alike) >= room:
            return Admission(backlog, refused=True)
        return Admission(_with(backlog, (*waiting, job)))
    older = tuple(other for other in alike if other.session == job.session)
    if not older and len(alike) >= limits.drafts:
        older = (alike[0],)
    return Admission(_with(backlog, (*(other for other in waiting if other not in older), job)), older)


def choose(backlog: WorkQueue, now: float, limits: QueueLimits) -> Batch:
    """Who runs next, together with whom, and which drafts came too late."""
    expired = tuple(
        job
        for job in backlog.waiting
        if job.urgency is Priority.DRAFT and now - job.arrived > limits.draft_expires_after
    )
    waiting = tuple(job for job in backlog.waiting if job not in expired)
    if not waiting:
        return Batch(_with(backlog, ()), expired=expired)

    def place(job: Job) -> tuple[int, int, int]:
        patient = job.urgency is Priority.RECORDING and now - job.arrived > limits.recording_waits
        return (Priority.DRAFT if patient else job.urgency, backlog.served.get(job.session, -1), job.number)

    first = min(waiting, key=place)
    alike = sorted((job for job in waiting if job.kind == first.kind and job.urgency is first.urgency), key=place)
    batch = tuple(alike[: limits.batch])
    still = tuple(job for job in waiting if job not in batch)
    turns = backlog.turns + 1
    # A session is remembered while anything waits, and forgotten with the last job.
    served = {**backlog.served, **{job.session: turns for job in batch}} if still else {}
    return Batch(WorkQueue(still, served, turns), batch, expired)


def without(backlog: WorkQueue, job: Job) -> WorkQueue:
    """The backlog after someone walked away."""
    return _with(backlog, tuple(other for other in backlog.waiting if other != job))


def _with(backlog: WorkQueue, waiting: tuple[Job, ...]) -> WorkQueue:
    return WorkQueue(waiting, backlog.served, backlog.turns)
