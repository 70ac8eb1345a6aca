"""Somebody hears whether the user is done, and the session goes by it."""

from app.domain.audio import ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.endpointing import Endpointer, EndpointingRules
from app.domain.dialog.state import DialogState, TurnRules
from tests.unit.playing import Play


def scored(done: float | None) -> Play:
    """Someone said something and is silent; whoever listens to the pause says how probable it is that they are done."""
    rules = TurnRules(language="en", score_end_of_turn=True)
    play = Play(DialogState(rules, Endpointer(EndpointingRules(pause_after_ms=100))))
    play.speech(600)
    play.silence(120)
    assert play.new(do.ScoreEndOfTurn) == [do.ScoreEndOfTurn(1, 0)]
    if done is not None:
        play.happen(ev.EndOfTurnScored(1, 0, done))
    return play


def silence_until(play: Play, kind: type) -> int:
    """Milliseconds of silence, all in all, until there is an effect of this kind."""
    while not play.every(kind):
        play.silence(30)
    return (play.state.audio_end - play.state.endpointer.speech_end) // ms(1)


def test_a_likely_end_of_turn_starts_the_final_and_shortens_the_endpoint():
    """The final begins with the judgement, and the utterance ends after a short silence."""
    play = scored(0.9)

    assert play.new(do.StartFinal) == [do.StartFinal(1, 0)]
    assert silence_until(play, do.CloseUtterance) == EndpointingRules().end_after_likely_done_ms


def test_an_unlikely_end_of_turn_waits_for_silence():
    """The final begins when the silence has lasted, the utterance ends when words and silence say so."""
    play = scored(0.1)

    assert play.every(do.StartFinal) == []
    assert silence_until(play, do.StartFinal) == 270
    assert silence_until(play, do.CloseUtterance) == 510


def test_with_spare_capacity_the_final_starts_before_the_score():
    """Once, whatever the judgement is; only the utterance it belongs to."""
    play = scored(None)

    play.happen(ev.ComputeIdle(1, 7))
    assert play.every(do.StartFinal) == []
    play.happen(ev.ComputeIdle(1, 0))
    play.happen(ev.EndOfTurnScored(1, 0, 0.1))

    assert play.every(do.StartFinal) == [do.StartFinal(1, 0)]


def test_a_missing_end_of_turn_score_delays_nothing():
    """It is as if nobody had been asked."""
    play = scored(None)

    assert silence_until(play, do.StartFinal) == 270
    assert silence_until(play, do.CloseUtterance) == 510


def test_incomplete_words_outweigh_a_likely_end_of_turn():
    """Nobody is done who says "and"."""
    play = scored(None)
    play.draft("I think so and")
    play.happen(ev.EndOfTurnScored(1, 0, 0.9))

    assert silence_until(play, do.CloseUtterance) >= EndpointingRules().end_after_incomplete_ms


def test_a_stale_end_of_turn_score_is_ignored():
    """The user went on; the next pause is scored anew."""
    play = scored(None)
    play.speech(300)

    play.happen(ev.EndOfTurnScored(1, 0, 0.9))
    play.silence(120)

    assert play.every(do.StartFinal) == []
    assert play.new(do.ScoreEndOfTurn) == [do.ScoreEndOfTurn(1, 1)]


def test_resumed_speech_drops_the_score_and_the_speculative_final():
    """The final is dropped, and the next pause is long until it is scored."""
    play = scored(0.9)
    play.speech(300)
    assert play.new(do.DropFinal) == [do.DropFinal(1, 0)]

    play.silence(360)

    assert play.every(do.CloseUtterance) == []


def test_a_confident_end_of_turn_is_answered_sooner():
    """Who only seems to be is waited for like everybody."""
    waits = {}
    for done in (0.95, 0.6):
        play = scored(done)
        play.final("What is the time?")
        waits[done] = silence_until(play, do.ReleaseReply)

    assert waits == {0.95: 510, 0.6: 1020}


def test_an_eager_reply_needs_a_likely_end_of_turn():
    """A reply to half a sentence is work for nothing."""
    begun = {}
    for done in (0.6, 0.1):
        play = scored(done)
        silence_until(play, do.CloseUtterance)
        play.final("What is the time?")
        begun[done] = bool(play.every(do.StartReply))

    assert begun == {0.6: True, 0.1: False}
