"""Who may use the cores next."""

import pytest

from providers.local.inference_pool import thread_plan
from providers.local.scheduler import Admission, Job, Priority, QueueLimits, WorkQueue, admit, choose, without


def job(number, urgency=Priority.FINAL, session="a", kind="base", arrived=0.0):
    return Job(number, urgency, session, kind, arrived)


def queue(*jobs, limits=None):
    backlog = WorkQueue()
    for one in jobs:
        backlog = admit(backlog, one, limits or QueueLimits()).backlog
    return backlog


def order(backlog, *, now=0.0, limits=None):
    """The numbers of all jobs, as they would run."""
    ran = []
    while backlog.waiting:
        turn = choose(backlog, now, limits or QueueLimits())
        backlog = turn.backlog
        ran += [one.number for one in turn.batch]
    return ran


def test_a_final_goes_before_every_draft_whichever_model_it_needs():
    """Finals never wait behind drafts."""
    backlog = queue(job(1, Priority.DRAFT, "a", "tiny"), job(2, Priority.DRAFT, "b", "tiny"), job(3, session="c"))

    assert order(backlog) == [3, 1, 2]


def test_a_newer_draft_takes_the_place_of_the_older_one_of_its_session():
    """Only the newest draft of a session waits."""
    old, new = job(1, Priority.DRAFT), job(3, Priority.DRAFT)

    admission = admit(queue(old, job(2, Priority.DRAFT, "b")), new, QueueLimits())

    assert admission.dropped == (old,)
    assert [one.number for one in admission.backlog.waiting] == [2, 3]


def test_a_draft_that_waited_too_long_never_runs():
    """An old draft is worth nothing."""
    old = job(1, Priority.DRAFT, arrived=0.0)

    turn = choose(queue(old, job(2, Priority.DRAFT, "b", arrived=1.0)), 1.5, QueueLimits(draft_expires_after=1.0))

    assert turn.expired == (old,)
    assert [one.number for one in turn.batch] == [2]


def test_sessions_take_turns():
    """A session with much to say does not keep the others waiting."""
    backlog = queue(job(1), job(2), job(3), job(4, session="b"), job(5, session="c"))

    assert order(backlog) == [1, 4, 5, 2, 3]


def test_the_next_final_is_refused_when_the_queue_is_full():
    """Finals are never dropped silently."""
    full = queue(job(1), job(2))

    assert admit(full, job(3), QueueLimits(finals=2)) == Admission(full, refused=True)


def test_the_oldest_draft_goes_when_too_many_wait():
    """Under load drafts thin out."""
    first = job(1, Priority.DRAFT, "a")
    full = queue(first, job(2, Priority.DRAFT, "b"))

    admission = admit(full, job(3, Priority.DRAFT, "c"), QueueLimits(drafts=2))

    assert admission.dropped == (first,)
    assert not admission.refused


def test_a_recording_lets_live_speech_go_first_but_not_for_ever():
    """A file makes progress on a busy machine."""
    backlog = queue(job(1, Priority.RECORDING, "file"), job(2, Priority.DRAFT, "a", arrived=9.0))

    assert order(backlog, now=1.0) == [2, 1]
    assert order(backlog, now=9.1) == [1, 2]


def test_a_batch_is_of_one_kind():
    """Jobs run together only when one model does the same work for all of them."""
    backlog = queue(job(1), job(2, session="b", kind="tiny"), job(3, session="c"), job(4, Priority.DRAFT, "d"))

    turn = choose(backlog, 0.0, QueueLimits(batch=16))

    assert [one.number for one in turn.batch] == [1, 3]


def test_who_walks_away_leaves_the_queue():
    """Abandoned work takes no room."""
    gone = job(1)

    assert without(queue(gone, job(2)), gone).waiting == (job(2),)


def test_nothing_is_remembered_of_sessions_when_nothing_waits():
    """The memory of turns does not grow with the day."""
    turn = choose(queue(job(1)), 0.0, QueueLimits())

    assert turn.backlog.served == {}


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 2, 2), (8, 2, 4), (16, 4, 4)]
)
def test_cores_are_shared_out(cores, workers, threads):
    """Two passes run at once wherever there are two cores; only then does a pass get more threads, up to four."""
    shares = thread_plan(cores)

    assert (shares.workers, shares.threads) == (workers, threads)
