"""The waits follow the speaker: short pauses shorten them, long ones lengthen them, within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.endpointing import Endpointer, EndpointingRules, endpoint_silence_ms
from app.domain.dialog.speaker_pace import LONGEST, SHORTEST, SpeakerPace
from app.domain.dialog.state import DialogState, TurnRules
from tests.unit.playing import Play

RULES = EndpointingRules().with_silences(640, 300)


def paced(*pauses_ms: float) -> SpeakerPace:
    pace = SpeakerPace()
    for pause in pauses_ms:
        pace = pace.with_pause(pause)
    return pace


FAST, SLOW = paced(*[120] * 20), paced(*[700] * 20)


def test_a_speaker_of_whom_nothing_is_known_is_typical():
    assert SpeakerPace().pace == 1.0
    assert SpeakerPace().likely_done_ms(300) == 300
    assert SpeakerPace().unlikely_done_ms(640) == 560


@pytest.mark.parametrize(
    ("text", "score", "typical", "fast", "slow"),
    [
        ("What is the time?", 0.9, 300, 300, 525),
        ("What is the time?", 0.1, 490, 343, 525),
        ("What is the time", None, 560, 392, 560),
        ("I would like to", None, 840, 588, 840),
        ("My number is five five", 0.9, 960, 960, 960),
    ],
)
def test_waits_by_words_score_and_speaker(text, score, typical, fast, slow):
    """Whoever is likely done is waited for longer where they pause long; whoever is not, shorter where not."""
    waits = [endpoint_silence_ms(text, "en", score, RULES, pace) for pace in (SpeakerPace(), FAST, SLOW)]

    assert waits == [typical, fast, slow]


def test_without_a_speaker_the_waits_are_as_configured():
    assert endpoint_silence_ms("What is the time?", "en", 0.1, RULES) == 560
    assert endpoint_silence_ms("What is the time?", "en", 0.9, RULES) == 300


def test_slow_speech_counts_like_longer_pauses():
    """Half as many words a second, for a while."""
    slow = SpeakerPace()
    for _ in range(20):
        slow = slow.with_words(14, 16_000 * 10)

    assert slow.pace == pytest.approx(2**0.25, abs=0.02)


@pytest.mark.parametrize("pause_ms", [0, 99, 1000, 60_000])
def test_what_is_no_pause_inside_a_turn_changes_nothing(pause_ms):
    """Too short, or perhaps the end of a turn."""
    assert paced(pause_ms) == SpeakerPace()


@given(
    st.lists(
        st.tuples(st.floats(0, 2000), st.integers(0, 100), st.integers(0, 16_000 * 30)),
        max_size=200,
    )
)
def test_the_pace_stays_within_its_bounds(heard):
    pace = SpeakerPace()
    for pause, words, samples in heard:
        pace = pace.with_pause(pause).with_words(words, samples)

        assert SHORTEST <= pace.pace <= LONGEST


def session(**rules) -> Play:
    return Play(DialogState(TurnRules(language="en", **rules), Endpointer(RULES)))


def test_pauses_in_an_utterance_and_between_two_of_a_turn_are_counted():
    """Not the silence between two turns, and not that behind the client's `end`."""
    play = session()
    play.speech(600)
    play.silence(300)
    play.speech(300)
    once = play.state.speaker_pace

    assert once == SpeakerPace().with_pause(300)

    play.silence(720)
    play.speech(300)
    assert play.state.speaker_pace == once.with_pause(720)

    play.happen(ev.ClientEnded())
    before = play.state.speaker_pace
    play.silence(300)
    play.speech(300)
    assert play.state.speaker_pace == before


def test_words_are_counted_in_languages_that_are_written_with_spaces():
    """In another one a word may be a whole sentence."""
    english, chinese = session(), Play(DialogState(TurnRules(language="zh"), Endpointer(RULES)))
    for play in (english, chinese):
        play.speech(1200)
        play.silence(900)
        play.final("one two three four five")

    assert english.state.speaker_pace == SpeakerPace().with_words(5, 19_200)
    assert chinese.state.speaker_pace == SpeakerPace()


def test_a_speaker_who_pauses_shortly_is_answered_sooner():
    """The same pause in the same words ends the utterance of one, and not of the other."""

    def utterances(pause_ms: int) -> int:
        play = session(adaptive_waits=True)
        for _ in range(12):
            play.speech(600)
            play.silence(pause_ms)
        play.speech(600)
        play.silence(450)
        return len(play.every(do.CloseUtterance))

    assert utterances(180) == 1
    assert utterances(390) == 0
