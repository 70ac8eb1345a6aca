"""The interruption benchmark: its material is split once and for all, and its figures are counted as they read."""

import numpy as np
import pytest

from app.domain.audio import SAMPLE_RATE
from bench.interruptions import Case, Outcome, SpokenReply, cases, share, summary
from bench.overlap_sounds import Group, OverlapSound, coughs, halves, hums

SILENCE = np.zeros(SAMPLE_RATE, np.float32)
REPLY = SpokenReply((("Hello.", SILENCE), ("Good day.", SILENCE)))


def sound(name: str, group: Group = Group.RECORDED) -> OverlapSound:
    return OverlapSound(name, group, "en", SILENCE)


def case(group: Group) -> Case:
    return Case(sound("any", group), REPLY, 0, None, (0, 0.3), 0)


def test_both_halves_have_every_group_and_share_no_sound():
    """So no threshold is chosen with what it is reported on."""
    sounds = [sound(f"{group} {number}", group) for group in Group for number in range(4)]

    one, other = halves(sounds)

    assert {each.name for each in one} | {each.name for each in other} == {each.name for each in sounds}
    assert {each.name for each in one} & {each.name for each in other} == set()
    assert {each.group for each in one} == {each.group for each in other} == set(Group)


def test_the_same_seed_gives_the_same_rooms():
    sounds = [sound(str(number)) for number in range(20)]
    rooms = [[(c.at, c.echo_db, c.room) for c in cases(sounds, [REPLY], seed)] for seed in (1, 1, 2)]

    assert rooms[0] == rooms[1] != rooms[2]


def test_what_stops_late_counts_as_recall_and_not_as_in_time():
    """A stop for anything but an interruption is false, also where the reply went on."""
    results = [
        (case(Group.RECORDED), Outcome(stopped_ms=400.0)),
        (case(Group.SPOKEN), Outcome(stopped_ms=800.0)),
        (case(Group.RECORDED), Outcome()),
        (case(Group.RECORDED), Outcome(stopped_ms=300.0)),
        (case(Group.COUGH), Outcome(stopped_ms=300.0, resumed_ms=700.0)),
        (case(Group.ECHO), Outcome(ducked_ms=100.0)),
    ]

    assert summary(results)[:4] == [
        f"recall: {share(3, 4)}, in 500 ms {share(2, 4)}",
        f"false stops: {share(1, 2)}; of which 1 went on, after 400 / 400 ms",
        f"replies lost to what is no interruption: {share(0, 2)}",
        "precision: 75.0 %",
    ]


@pytest.mark.parametrize(
    ("count", "of", "expected"),
    [
        (177, 177, "100.0 % (97.9 to 100.0; 177 of 177)"),
        (0, 20, "0.0 % (0.0 to 16.1; 0 of 20)"),
        (50, 100, "50.0 % (40.4 to 59.6; 50 of 100)"),
    ],
)
def test_a_share_has_the_interval_of_wilson(count, of, expected):
    assert share(count, of) == expected


def test_hums_and_coughs_are_made_anew_and_alike_each_time():
    """From a seed; audible, and as short as such sounds are."""
    for made in (hums, coughs):
        first, second = (list(made(np.random.default_rng(1))) for _ in range(2))

        assert all(np.array_equal(one.audio, other.audio) for one, other in zip(first, second, strict=True))
        assert all(0.1 < len(one.audio) / SAMPLE_RATE < 2 and np.abs(one.audio).max() > 0.01 for one in first)
