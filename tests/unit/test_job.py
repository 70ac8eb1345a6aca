"""States of a job: what each step makes of it, who may take it, when it is tried again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.domain.errors import BlobNotFound, ClientError, LeaseLost, ParleyError, ProviderBusy, SessionStillLive
from app.domain.job import (
    EXPIRE_AFTER,
    FINISHED,
    KEEP_FINISHED,
    MAX_ATTEMPTS,
    JobState,
    TranscriptionJob,
    crash_pause_s,
    retry_pause_s,
)
from app.domain.upload_limits import UploadLimits, UploadUsage

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)


def job(**changes) -> TranscriptionJob:
    return TranscriptionJob(**{"id": "1", "tenant": "acme", "created": NOW, "updated": NOW, "due": NOW, **changes})


QUEUED = job(state=JobState.QUEUED, received=10)
RUNNING = QUEUED.take("me", LATER, NOW)


def test_job_receives_its_bytes_in_order_and_is_accepted_with_the_last():
    first = job(length=10).receive(0, 6, NOW)
    last = first.receive(6, 4, LATER)

    assert (first.state, first.received) == (JobState.RECEIVING, 6)
    assert (last.state, last.received, last.due, last.updated) == (JobState.QUEUED, 10, LATER, LATER)


def test_job_without_an_announced_length_is_accepted_by_a_word():
    received = job(attended=True, lease_until=LATER).receive(0, 6, NOW)

    assert received.state is JobState.RECEIVING
    assert (received.accept(NOW).state, received.accept(NOW).attended, received.accept(NOW).is_leased) == (
        JobState.QUEUED,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("upload", "offset", "size", "code"),
    [
        (job(length=10), 1, 1, "bad_packet"),
        (job(length=10), 0, 11, "frame_too_large"),
        (QUEUED, 10, 0, "bad_packet"),
    ],
)
def test_job_refuses_bytes_that_do_not_belong_there(upload, offset, size, code):
    with pytest.raises(ClientError) as refused:
        upload.receive(offset, size, NOW)

    assert refused.value.code == code


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_job_that_is_gone_receives_nothing(state):
    with pytest.raises(BlobNotFound):
        job(state=state, length=10).receive(0, 1, NOW)
    with pytest.raises(BlobNotFound):
        job(state=state, length=10).accept(NOW)


@pytest.mark.parametrize(
    ("waiting", "seconds", "expected"),
    [
        (QUEUED, 0, True),
        (replace(QUEUED, due=LATER), 29, False),
        (replace(QUEUED, due=LATER), 30, True),
        (RUNNING, 29, False),
        (RUNNING, 30, True),
        (replace(RUNNING, attended=True), 30, False),
        (job(lease_until=NOW), 30, False),
        (RUNNING.fail("x", "y", NOW), 30, False),
    ],
)
def test_job_may_be_taken_where_it_is_due_or_its_worker_is_gone(waiting, seconds, expected):
    assert waiting.is_takeable(NOW + timedelta(seconds=seconds)) is expected


def test_worker_that_lost_its_lease_changes_nothing():
    """Another one has taken the job, with a higher fencing number; or it is over."""
    taken = RUNNING.take("another", LATER, LATER)

    for lost in (taken, RUNNING.cancel(NOW), RUNNING.complete(1, NOW, (), 1.0)):
        for change in (
            lambda each: each.renew(1, LATER, NOW, 0.0, None),
            lambda each: each.complete(1, NOW, (), 1.0),
            lambda each: each.interrupt(1, NOW),
        ):
            with pytest.raises(LeaseLost):
                change(lost)
    assert taken.complete(2, NOW, (), 1.0).state is JobState.DONE


def test_interrupted_attempt_does_not_count_and_a_failed_one_does():
    stopped, failed = RUNNING.interrupt(1, NOW), RUNNING.interrupt(1, NOW, pause_s=30, counts=True)

    assert (stopped.state, stopped.attempts, stopped.is_takeable(NOW)) == (JobState.QUEUED, 0, True)
    assert (failed.attempts, failed.is_takeable(NOW), failed.is_takeable(LATER)) == (1, False, True)


def test_attempt_that_ends_with_its_process_counts_apart():
    """Neither as an attempt that ended in an error, nor forgotten by what comes later."""
    taken = RUNNING.take("another", LATER, LATER)
    failed = taken.interrupt(2, LATER, counts=True)

    assert (RUNNING.attempts, RUNNING.crashes) == (1, 0)
    assert (taken.attempts, taken.crashes) == (1, 1)
    assert (failed.attempts, failed.crashes) == (1, 1)
    assert (failed.take("a third", LATER, LATER).attempts, taken.interrupt(2, LATER).attempts) == (2, 0)


def test_job_waits_longer_after_each_process_that_died_of_it():
    assert [crash_pause_s(crashes) for crashes in range(11)] == [0, 5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert crash_pause_s(10**6) == 900
    crashed = replace(RUNNING, crashes=2)

    assert not crashed.is_takeable(LATER + timedelta(seconds=9))
    assert crashed.is_takeable(LATER + timedelta(seconds=10))


def test_queued_job_can_be_cancelled_where_a_running_one_is_only_by_force():
    assert QUEUED.cancel_idle(NOW).state is JobState.CANCELLED
    with pytest.raises(SessionStillLive):
        RUNNING.cancel_idle(NOW)
    assert RUNNING.cancel(NOW).state is JobState.CANCELLED


@pytest.mark.parametrize(
    "finished", [RUNNING.complete(1, NOW, (), 1.0), RUNNING.fail("a", "b", NOW), QUEUED.cancel(NOW)]
)
def test_finished_job_stays_as_it_is(finished):
    assert finished.cancel(LATER) == finished
    assert finished.has_remains
    assert not finished.is_expired(NOW + KEEP_FINISHED)
    assert finished.is_expired(NOW + KEEP_FINISHED + timedelta(seconds=1))


def test_given_up_job_says_how_often_it_was_tried():
    assert replace(RUNNING, attempts=MAX_ATTEMPTS + 1).fail("given_up", "", NOW).attempts == MAX_ATTEMPTS


def test_unfinished_upload_expires_a_day_after_its_last_byte():
    """One that is transcribed or waits does not."""
    later = NOW + EXPIRE_AFTER + timedelta(seconds=1)

    assert job(length=10).is_expired(later)
    assert not job(length=10).is_expired(NOW + EXPIRE_AFTER)
    assert not QUEUED.is_expired(later)
    assert not RUNNING.is_expired(later)


def test_upload_of_a_waiting_sender_is_interrupted_with_its_process():
    attended = job(attended=True, lease_until=LATER)

    assert not attended.is_interrupted(NOW)
    assert attended.is_interrupted(LATER)
    assert attended.start(0, NOW).is_interrupted(LATER)
    assert not RUNNING.is_interrupted(LATER)


def test_pauses_between_attempts_grow_fourfold_up_to_five_minutes():
    assert [retry_pause_s(attempts, 1.0) for attempts in range(1, 7)] == [2, 8, 32, 128, 300, 300]
    assert retry_pause_s(2, 0.0) == 4


@given(st.integers(0, 100), st.floats(0, 1))
def test_pause_before_an_attempt_is_never_long_and_never_nothing(attempts, chance):
    assert 1 <= retry_pause_s(attempts, chance) <= 300


@pytest.mark.parametrize(
    ("own", "length", "refused"),
    [
        (UploadUsage(0, 0), 100, False),
        (UploadUsage(1, 50), 50, False),
        (UploadUsage(1, 50), 51, True),
        (UploadUsage(2, 0), 1, True),
    ],
)
def test_quota_of_a_tenant_is_a_number_of_files_and_of_bytes(own, length, refused):
    limits = UploadLimits(per_tenant=2, per_tenant_bytes=100)

    if refused:
        with pytest.raises(ProviderBusy):
            limits.require_quota(own, length)
    else:
        limits.require_quota(own, length)


@pytest.mark.parametrize(
    ("own", "length", "refused"),
    [
        (UploadUsage(9, 900, person_files=0), 100, False),
        (UploadUsage(9, 900, person_files=2, person_reserved=200), 50, False),
        (UploadUsage(9, 900, person_files=2, person_reserved=201), 50, True),
        (UploadUsage(9, 900, person_files=3), 1, True),
        (UploadUsage(12, 900, person_files=0), 1, True),
    ],
)
def test_quota_of_a_person_is_a_quarter_of_its_tenants(own, length, refused):
    limits = UploadLimits(per_tenant=12, per_tenant_bytes=1000)

    if refused:
        with pytest.raises(ProviderBusy):
            limits.require_quota(own, length, by_person=True)
    else:
        limits.require_quota(own, length, by_person=True)


def test_quota_of_a_person_is_one_file_at_least():
    limits = UploadLimits(per_tenant=2)
    limits.require_quota(UploadUsage(0, 0), 1, by_person=True)

    with pytest.raises(ProviderBusy):
        limits.require_quota(UploadUsage(1, 1, person_files=1, person_reserved=1), 1, by_person=True)


class JobUnderAnyOrderOfSteps(RuleBasedStateMachine):
    """Workers take, lose, and finish one job in any order; time passes. It ends once, by one who had the lease."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.job = job(length=4)
        self.leases: list[int] = []
        self.ends: list[TranscriptionJob] = []

    def attempt(self, change) -> None:
        try:
            changed = change(self.job)
        except ParleyError:
            return
        if changed.is_finished and not self.job.is_finished:
            self.ends.append(changed)
        self.job = changed

    @rule(size=st.integers(0, 5), offset=st.integers(0, 4))
    def receive(self, size, offset):
        self.attempt(lambda each: each.receive(offset, size, self.now))

    @rule(seconds=st.integers(1, 60))
    def pass_time(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule()
    def take(self):
        if self.job.is_takeable(self.now):
            self.job = self.job.take("worker", self.now + timedelta(seconds=30), self.now)
            self.leases.append(self.job.fence)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), step=st.sampled_from(["renew", "complete", "interrupt", "fail"]))
    def work(self, data, step):
        fence = data.draw(st.sampled_from(self.leases))
        before = self.job
        match step:
            case "renew":
                self.attempt(lambda each: each.renew(fence, self.now + timedelta(seconds=30), self.now, 1.0, None))
            case "complete":
                self.attempt(lambda each: each.complete(fence, self.now, (), 1.0))
            case "interrupt":
                self.attempt(lambda each: each.interrupt(fence, self.now, pause_s=5, counts=True))
            case _:
                self.attempt(lambda each: (each.require_lease(fence), each.fail("x", "y", self.now))[1])
        assert self.job == before or fence == max(self.leases)

    @rule()
    def cancel(self):
        self.attempt(lambda each: each.cancel(self.now))

    @invariant()
    def it_ends_once(self):
        assert len(self.ends) <= 1
        assert self.job.is_finished == bool(self.ends)
        assert (self.job.finished is not None) == (self.job.state in FINISHED)

    @invariant()
    def a_lease_is_of_a_running_job(self):
        assert self.job.is_leased == (self.job.state is JobState.RUNNING)
        assert self.job.received <= 4
        assert self.job.attempts >= 0


test_job_under_any_order_of_steps = JobUnderAnyOrderOfSteps.TestCase
