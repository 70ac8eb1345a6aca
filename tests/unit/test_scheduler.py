"""Scheduling of inference jobs: priorities, fairness between sessions, limits."""

import pytest

from providers.local.scheduler import AdmissionResult, Job, Priority, QueueLimits, WorkQueue, admit, next_batch, remove
from providers.local.thread_plan import thread_plan


def job(number, priority=Priority.FINAL, session="a", kind="base", arrived_s=0.0):
    return Job(number, priority, session, kind, arrived_s)


def queue_of(*jobs, limits=None):
    queue = WorkQueue()
    for one in jobs:
        queue = admit(queue, one, limits or QueueLimits()).queue
    return queue


def order(queue, *, now_s=0.0, limits=None):
    """The numbers of all jobs, as they would run."""
    ran = []
    while queue.waiting:
        batch = next_batch(queue, now_s, limits or QueueLimits())
        queue = batch.queue
        ran += [one.number for one in batch.jobs]
    return ran


def test_final_runs_before_every_draft_of_any_model():
    """Finals never wait behind drafts."""
    queue = queue_of(job(1, Priority.DRAFT, "a", "tiny"), job(2, Priority.DRAFT, "b", "tiny"), job(3, session="c"))

    assert order(queue) == [3, 1, 2]


def test_speaker_embedding_runs_behind_finals_and_before_drafts():
    """A label never delays a final; drafts come again."""
    queue = queue_of(job(1, Priority.DRAFT, "a"), job(2, Priority.SPEAKER, "b"), job(3, session="c"))

    assert order(queue) == [3, 2, 1]


def test_end_of_turn_check_runs_before_finals():
    """It is short, and a final waits for its answer."""
    assert order(queue_of(job(1), job(2, Priority.END_OF_TURN, "b"))) == [2, 1]


def test_newer_draft_replaces_the_waiting_draft_of_its_session():
    """Only the newest draft of a session waits."""
    old, new = job(1, Priority.DRAFT), job(3, Priority.DRAFT)

    admission = admit(queue_of(old, job(2, Priority.DRAFT, "b")), new, QueueLimits())

    assert admission.dropped == (old,)
    assert [one.number for one in admission.queue.waiting] == [2, 3]


def test_draft_that_waited_too_long_expires():
    """An old draft is worth nothing."""
    old = job(1, Priority.DRAFT, arrived_s=0.0)
    queue = queue_of(old, job(2, Priority.DRAFT, "b", arrived_s=1.0))

    batch = next_batch(queue, 1.5, QueueLimits(draft_expires_after_s=1.0))

    assert batch.expired == (old,)
    assert [one.number for one in batch.jobs] == [2]


def test_sessions_take_turns():
    """A session with many jobs does not keep the others waiting."""
    queue = queue_of(job(1), job(2), job(3), job(4, session="b"), job(5, session="c"))

    assert order(queue) == [1, 4, 5, 2, 3]


def test_two_sessions_with_many_jobs_alternate():
    """Round-robin, whoever came first."""
    queue = queue_of(*(job(n) for n in (1, 2, 3)), *(job(n, session="b") for n in (4, 5, 6)))

    assert order(queue) == [1, 4, 2, 5, 3, 6]


def test_new_session_stands_behind_jobs_that_arrived_before_it():
    """Never having been served is no privilege: a stream of new sessions starves nobody."""
    queue = next_batch(queue_of(job(1), job(2), job(3, session="b")), 0.0, QueueLimits()).queue
    queue = admit(queue, job(4, session="new"), QueueLimits()).queue

    assert order(queue) == [3, 2, 4]


def test_next_final_is_refused_when_the_queue_is_full():
    """Finals are never dropped silently."""
    full = queue_of(job(1), job(2))

    assert admit(full, job(3), QueueLimits(finals=2)) == AdmissionResult(full, refused=True)


def test_oldest_draft_is_dropped_when_too_many_wait():
    """Under load drafts thin out."""
    first = job(1, Priority.DRAFT, "a")
    full = queue_of(first, job(2, Priority.DRAFT, "b"))

    admission = admit(full, job(3, Priority.DRAFT, "c"), QueueLimits(drafts=2))

    assert admission.dropped == (first,)
    assert not admission.refused


def test_recording_waits_for_live_speech_and_is_not_starved_by_drafts():
    """A file makes progress on a busy machine."""
    queue = queue_of(job(1, Priority.RECORDING, "file"), job(2, Priority.DRAFT, "a", arrived_s=9.0))

    assert order(queue, now_s=1.0) == [2, 1]
    assert order(queue, now_s=9.1) == [1, 2]


def test_recording_never_runs_before_a_live_final():
    """However long it has waited, and whether its session was served before or not."""
    queue = queue_of(job(1, Priority.RECORDING, "file"), job(2, session="live-b"), job(3, session="live-c"))

    assert order(queue, now_s=60.0) == [2, 3, 1]


def test_batch_is_of_one_kind_and_priority():
    """Jobs run together only when one model does the same work for all of them."""
    queue = queue_of(job(1), job(2, session="b", kind="tiny"), job(3, session="c"), job(4, Priority.DRAFT, "d"))

    batch = next_batch(queue, 0.0, QueueLimits(max_batch=16))

    assert [one.number for one in batch.jobs] == [1, 3]


def test_cancelled_job_leaves_the_queue():
    """Abandoned work takes no place."""
    cancelled = job(1)

    assert remove(queue_of(cancelled, job(2)), cancelled).waiting == (job(2),)


def test_scheduler_forgets_sessions_when_nothing_waits():
    """What it remembers does not grow with the day."""
    batch = next_batch(queue_of(job(1)), 0.0, QueueLimits())

    assert batch.queue.requeued == {}


def test_scheduler_remembers_no_more_sessions_than_wait_under_saturation():
    """Five thousand sessions come and go while the queue is never empty."""
    queue = queue_of(job(1, Priority.RECORDING, "file"), job(2, Priority.RECORDING, "file"))
    for number in range(3, 5003):
        queue = admit(queue, job(number, Priority.END_OF_TURN, object()), QueueLimits()).queue
        queue = next_batch(queue, 0.0, QueueLimits()).queue

    assert len(queue.waiting) == 2
    assert len(queue.requeued) == 0


def test_scheduler_forgets_a_session_with_its_last_job():
    """Neither cancelled nor replaced jobs leave a trace."""
    served = next_batch(queue_of(job(1), job(2), job(3, session="b")), 0.0, QueueLimits()).queue
    assert set(served.requeued) == {"a"}

    queue = remove(served, job(2))

    assert queue.requeued == {}


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 2, 2), (8, 2, 4), (16, 4, 4)]
)
def test_thread_plan_divides_the_cores(cores, workers, threads):
    """Two passes run at once wherever there are two cores; only then does a pass get more threads, up to four."""
    plan = thread_plan(cores)

    assert (plan.workers, plan.threads) == (workers, threads)
