"""Capacity: how many sessions a machine can serve, from the speed of its models."""

from contextlib import suppress

import pytest

from app.domain.capacity import (
    FEWEST_PASSES,
    LEAST,
    ComputeCost,
    ModelSpeed,
    PassTiming,
    capacity,
    measured_cost,
    next_limit,
)
from app.runtime.admission import Admission
from app.runtime.speech_capacity import SpeechCapacity, SpeechModel

BASE = ModelSpeed(sound_s=2.7, final_s=0.04, draft_s=0.03)
TINY = ModelSpeed(sound_s=2.7, final_s=0.0175, draft_s=0.01)


def test_capacity_formula_counts_finals_twice_and_one_draft_per_second():
    """0.7 over 2 x 0.04 / 2.7 + 0.01."""
    assert capacity(finals=BASE, drafts=TINY, replies_here=False) == 17


def test_capacity_is_lower_with_replies_in_the_same_process():
    """They use the same cores."""
    assert capacity(finals=BASE, drafts=TINY, replies_here=True) == 15


def test_capacity_ignores_finals_of_other_routes():
    """Only drafts are counted then."""
    assert capacity(finals=None, drafts=TINY, replies_here=False) == 70


def test_capacity_scales_with_concurrent_passes():
    """More cores make more passes, not faster ones."""
    finals = ModelSpeed(BASE.sound_s, BASE.final_s, BASE.draft_s, at_once=4)
    drafts = ModelSpeed(TINY.sound_s, TINY.final_s, TINY.draft_s, at_once=4)

    assert capacity(finals=finals, drafts=drafts, replies_here=False) == 70


@pytest.mark.parametrize("finals", [None, ModelSpeed(2.7, 30.0, 30.0)])
def test_capacity_has_a_lower_bound(finals):
    """It may only have been busy just then."""
    assert capacity(finals=finals, drafts=ModelSpeed(2.7, 9.0, 9.0), replies_here=True) == LEAST


@pytest.mark.parametrize(
    ("most", "sentence"),
    [
        (4, "4 at most: the capacity by self-test (drafts at RTF 0.01, finals at RTF 0.01), which follows live passes"),
        (16, "16 at most, as set; the capacity by self-test is 4 (drafts at RTF 0.01, finals at RTF 0.01)"),
    ],
)
def test_start_up_sentence_names_the_source_of_the_session_limit(most, sentence):
    """A number that was set stands beside the one that was measured."""
    models = (
        SpeechModel("drafts", "whisper-tiny.en", "cpu", "int8", "", TINY),
        SpeechModel("finals", "whisper-base", "cpu", "int8", "", BASE),
    )

    assert SpeechCapacity(4, models, lambda: 0).describe_limit(most) == sentence


def alone(seconds, *, sound_s=0.0):
    """A pass with nothing beside it on two cores: perhaps it used both, perhaps one."""
    return PassTiming(1, sound_s, least_s=seconds / 2, most_s=seconds)


def in_company(seconds, *, sound_s=0.0):
    """A pass while every worker was busy: half of the machine was its own."""
    return PassTiming(1, sound_s, least_s=seconds / 2, most_s=seconds / 2)


def limits(limit, cost, *rounds):
    """The limit after each update with these passes, (finals, drafts) each."""
    found = []
    for finals, drafts in rounds:
        cost = cost.learn(finals, drafts)
        limit = next_limit(limit, cost.capacity(replies_here=True))
        found.append(limit)
    return found


SLOW = ModelSpeed(2.0, final_s=0.4, draft_s=0.12, at_once=2)
"""The self-test of a machine with room for 11 sessions, while something else took most of its cores."""

ONE_SPEAKER = ([alone(0.04, sound_s=2.0)] * 20, [alone(0.012)] * 20)
MANY_SPEAKERS = ([in_company(0.08, sound_s=2.0)] * 20, [in_company(0.024)] * 20)
DISTURBED = ([in_company(0.4, sound_s=2.0)] * 20, [in_company(0.12)] * 20)
"""Other programs take four fifths of the cores."""

NOTHING = ((), ())


@pytest.mark.parametrize("passes", [ONE_SPEAKER, MANY_SPEAKERS], ids=["one speaker", "many"])
def test_capacity_rises_after_a_busy_start(passes):
    """The self-test allowed its least; an idle machine's passes tell, step by step, that there is room for 11."""
    start = capacity(finals=SLOW, drafts=SLOW, replies_here=True)

    assert start == LEAST
    assert limits(start, measured_cost(finals=SLOW, drafts=SLOW), *[passes] * 9) == [5, 6, 7, 8, 10, 11, 11, 11, 11]


def test_capacity_follows_load_that_comes_and_goes():
    """Down while other programs take the cores, up again without them."""
    cost = ComputeCost(final=0.02, draft=0.012)

    down = limits(11, cost, *[DISTURBED] * 9)
    up = limits(down[-1], cost, *[MANY_SPEAKERS] * 12)

    assert down == [9, 7, 6, 5, 4, 3, 2, 2, 2]
    assert up == [3, 4, 5, 6, 7, 8, 10, 11, 11, 11, 11, 11]


def test_capacity_stays_while_few_sessions_speak():
    """A pass that runs alone may use every core or one; what lies between teaches nothing."""
    assert limits(11, ComputeCost(final=0.02, draft=0.012), *[ONE_SPEAKER] * 5, *[MANY_SPEAKERS] * 5) == [11] * 10


def test_capacity_learns_nothing_from_a_handful_of_passes():
    """Or from none, or from passes over no audio at all."""
    cost = ComputeCost(final=0.02, draft=0.012)
    few = tuple(passes[: FEWEST_PASSES - 1] for passes in DISTURBED)

    assert limits(11, cost, NOTHING, few) == [11, 11]
    assert cost.learn([in_company(9.0, sound_s=0.0)] * 20, ()) == cost


def test_capacity_is_not_moved_by_a_pass_that_was_stopped():
    """A machine that was asleep for a minute is not slow."""
    finals, drafts = MANY_SPEAKERS
    stopped = ([*finals, in_company(60.0, sound_s=2.0)], [*drafts, in_company(60.0)])

    assert limits(11, ComputeCost(final=0.02, draft=0.012), stopped) == [11]


def test_capacity_between_two_numbers_stays_at_one():
    """Noise of a tenth of a session changes nothing; a change beyond it is followed."""
    assert [next_limit(8, sessions) for sessions in (7.9, 8.0, 8.5, 9.0, 9.2)] == [8] * 5
    assert (next_limit(8, 7.7), next_limit(8, 9.3)) == (7, 9)


def test_capacity_never_falls_below_one():
    """However slow the machine is, one session may try."""
    assert limits(4, ComputeCost(final=9.0, draft=9.0), *[NOTHING] * 6) == [3, 2, 1, 1, 1, 1]
    assert next_limit(1, 0.0) == 1


@pytest.mark.anyio
async def test_admission_and_metrics_follow_the_capacity():
    """What live passes teach is the limit in force; a limit that was set stays."""
    speech = SpeechCapacity(
        4, (), lambda: 0, ComputeCost(0.1, 0.06), finals=lambda: MANY_SPEAKERS[0], drafts=lambda: MANY_SPEAKERS[1]
    )
    clock, admission = UpdatingClock(8), Admission(4)

    with suppress(EndOfTest):
        await speech.learn_loop(clock, admission)

    assert speech.capacity == admission.max_sessions == 13


class EndOfTest(Exception):
    """The clock has no more time."""


class UpdatingClock:
    """Lets so many sleeps pass at once, then ends the test."""

    def __init__(self, sleeps):
        self._sleeps, self._now = sleeps, 0.0

    def now(self):
        return self._now

    async def sleep_until(self, deadline):
        self._sleeps -= 1
        if self._sleeps < 0:
            raise EndOfTest
        self._now = deadline
