"""Which waiting inference job runs next: by priority, then round-robin between sessions. Pure.

Within a priority jobs run in order of arrival, except that a session whose job was just started goes to the end of the
line with its other jobs. Only sessions that have jobs waiting are remembered: a job that arrives later stands behind
everything that was there when its session was served.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum


class Priority(IntEnum):
    """The class of a job, most urgent first."""

    END_OF_TURN = 0
    """Has the speaker finished? A short job whose answer starts a final."""
    FINAL = 1
    SPEAKER = 2
    """Whose voice was it? Its final waits for no label."""
    DRAFT = 3
    RECORDING = 4
    """A stretch of an uploaded file: no one waits for it live."""


@dataclass(frozen=True, slots=True)
class Job:
    """An inference job that waits."""

    number: int
    """Counts arrivals: the newest job has the highest."""

    priority: Priority
    session: Hashable
    kind: Hashable
    """Jobs of one kind and priority may run as one batch."""

    arrived_s: float
    """On the caller's clock."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many jobs may wait, and how long."""

    finals: int = 64
    """With so many finals waiting the next one is refused; end-of-turn and speaker jobs have limits alike."""

    drafts: int = 64
    """With so many drafts waiting the oldest one is dropped."""

    recordings: int = 64
    """With so many recording jobs waiting the next one is refused."""

    draft_expires_after_s: float = 1.0
    """A draft that waited longer is dropped."""

    recording_ages_after_s: float = 5.0
    """A recording job that waited longer ranks with the drafts, so that it is never starved."""

    max_batch: int = 1
    """Jobs of one kind that run as one batch."""


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """The waiting jobs, in order of arrival."""

    waiting: tuple[Job, ...] = ()
    requeued: Mapping[Hashable, tuple[int, int]] = field(default_factory=dict)
    """Sessions that were served and have more jobs waiting -> `newest` and `served` at that time."""

    newest: int = 0
    """Number of the newest job ever admitted."""

    served: int = 0
    """Jobs that were started."""


@dataclass(frozen=True, slots=True)
class AdmissionResult:
    queue: WorkQueue
    dropped: tuple[Job, ...] = ()
    """Drafts that a newer one replaced or that no longer fit."""

    refused: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    queue: WorkQueue
    """What still waits."""

    jobs: tuple[Job, ...] = ()
    expired: tuple[Job, ...] = ()
    """Drafts that waited too long."""


def admit(queue: WorkQueue, job: Job, limits: QueueLimits) -> AdmissionResult:
    """The queue with one more job. A newer draft replaces the waiting draft of its session."""
    same_priority = [other for other in queue.waiting if other.priority is job.priority]
    dropped: tuple[Job, ...] = ()
    if job.priority is Priority.DRAFT:
        dropped = tuple(other for other in same_priority if other.session == job.session)
        if not dropped and len(same_priority) >= limits.drafts:
            dropped = (same_priority[0],)
    else:
        limit = limits.recordings if job.priority is Priority.RECORDING else limits.finals
        if len(same_priority) >= limit:
            return AdmissionResult(queue, refused=True)
    waiting = (*(other for other in queue.waiting if other not in dropped), job)
    return AdmissionResult(_with(queue, waiting, newest=max(queue.newest, job.number)), dropped)


def next_batch(queue: WorkQueue, now_s: float, limits: QueueLimits, *, recordings: bool = True) -> Batch:
    """The jobs to run now, and the drafts that expired meanwhile. With `recordings` False those keep waiting."""
    expired = tuple(
        job
        for job in queue.waiting
        if job.priority is Priority.DRAFT and now_s - job.arrived_s > limits.draft_expires_after_s
    )
    waiting = tuple(job for job in queue.waiting if job not in expired)
    runnable = [job for job in waiting if recordings or job.priority is not Priority.RECORDING]
    if not runnable:
        return Batch(_with(queue, waiting), expired=expired)

    def rank(job: Job) -> tuple[Priority, tuple[int, int], int]:
        aged = job.priority is Priority.RECORDING and now_s - job.arrived_s > limits.recording_ages_after_s
        # A requeued session stands right behind the job that was the newest when it was served.
        place = max((job.number, 0), queue.requeued.get(job.session, (0, 0)))
        return (Priority.DRAFT if aged else job.priority, place, job.number)

    first = min(runnable, key=rank)
    same_kind = [job for job in runnable if job.kind == first.kind and job.priority is first.priority]
    jobs = tuple(sorted(same_kind, key=rank)[: limits.max_batch])
    left = tuple(job for job in waiting if job not in jobs)
    places = {job.session: (queue.newest, queue.served + n) for n, job in enumerate(jobs, 1)}
    served = replace(queue, requeued={**queue.requeued, **places}, served=queue.served + len(jobs))
    return Batch(_with(served, left), jobs, expired)


def remove(queue: WorkQueue, job: Job) -> WorkQueue:
    """The queue without a job whose caller was cancelled."""
    return _with(queue, tuple(other for other in queue.waiting if other != job))


def _with(queue: WorkQueue, waiting: tuple[Job, ...], newest: int | None = None) -> WorkQueue:
    """Sessions without a waiting job are forgotten, which keeps no session's audio alive and changes no order."""
    sessions = {job.session for job in waiting}
    requeued = {session: place for session, place in queue.requeued.items() if session in sessions}
    return replace(queue, waiting=waiting, requeued=requeued, newest=queue.newest if newest is None else newest)
