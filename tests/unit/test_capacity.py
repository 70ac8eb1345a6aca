"""Capacity: how many sessions a machine can serve, from the speed of its models."""

import pytest

from app.domain.capacity import LEAST, ModelSpeed, capacity
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
        (4, "4 at most: the capacity by self-test (drafts at RTF 0.01, finals at RTF 0.01)"),
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
