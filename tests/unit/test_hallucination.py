"""What can have been said, and what cannot."""

import pytest

from providers.local.asr.context_schedule import FULL, context_schedule
from providers.local.asr.hallucination import (
    DecodeEvidence,
    Verdict,
    has_zero_duration,
    judge,
    loop_start,
    restarts_at,
    truncate_repetition,
)


def evidence(text, *, seconds=5.0, log_probability=-0.2, no_speech=0.01, ran_on=False):
    return DecodeEvidence(text, seconds, log_probability, no_speech, ran_on)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("I like that account of him. I like that account of him.", 6),
        ("heavy rain in the hills, heavy rain in the", 5),
        ("Firefox Firefox Firefox Firefox", 1),
        ("No. No.", 1),
        ("so he said and and and", 4),
        ("so he said and and", None),
        ("ask not what your country can do for you, ask what you can do for your country", None),
        ("no no that is not what I mean", None),
        ("", None),
    ],
)
def test_a_loop_is_seen_where_its_second_copy_begins(text, start):
    """Repetition at the end counts when enough of it is copied; speech may repeat a little."""
    assert loop_start(text.split()) == start


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("I like that account of him. I like", 6),
        ("I like that account of him. I", None),
        ("ask not what your country can do for you, ask what you can do", None),
        ("and and", None),
    ],
)
def test_a_draft_is_cut_as_soon_as_it_begins_again(text, start):
    """Two words of its own beginning are enough: the next draft is half a second away."""
    assert restarts_at(text.split()) == start


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (evidence("for the twentieth time"), Verdict.SANE),
        (evidence(""), Verdict.SILENCE),
        (evidence("you", no_speech=0.9, log_probability=-1.4), Verdict.SILENCE),
        (evidence("it was there it was there it was there"), Verdict.LOOP),
        (evidence("perhaps", log_probability=-1.5), Verdict.BROKEN),
        (evidence("one two three four five six seven eight nine ten eleven", seconds=0.5), Verdict.BROKEN),
        (evidence("and then it went on without an end", ran_on=True), Verdict.BROKEN),
    ],
)
def test_the_verdict_follows_the_evidence(given, verdict):
    """Each sign of a broken pass is seen."""
    assert judge(given) is verdict


def test_words_without_time_were_never_said():
    """A loop sits in the last instant; a true repetition takes as long as the first time."""
    assert has_zero_duration([0.0, 1.0, 2.0, 3.0, 3.9, 3.9, 3.95], 4.0, 4)
    assert not has_zero_duration([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0], 3.5, 4)


@pytest.mark.parametrize("columns", [1, 50, 300, 1200, 2399, 2400, 2999, 3000])
def test_the_ladder_climbs_from_a_little_more_than_was_said_to_everything(columns):
    """No context cuts sound off, and the last is the one Whisper was trained with."""
    contexts = context_schedule(columns)

    assert list(contexts) == sorted(set(contexts))
    assert all(columns <= frames <= FULL for frames in contexts)
    assert contexts[-1] == FULL


@pytest.mark.parametrize(
    ("text", "seconds", "left"),
    [
        ("Laata. Laata. Laata. Laata. Laata. La", 1.1, "Laata."),
        ("Laata. Laata. Laata. Laata. Laata.", 1.1, "Laata."),
        ("No. No. No. No. No. No. No. No", 1.9, "No. No. No. No. No. No. No. No"),
        ("All of this was said, and quickly.", 0.9, "All of this was said, and quickly."),
        ("", 0.0, ""),
    ],
)
def test_what_nobody_can_say_so_fast_is_said_once(text, seconds, left):
    """A loop in half a second is a loop; one in two seconds may be somebody's temper."""
    assert truncate_repetition(text, seconds) == left
