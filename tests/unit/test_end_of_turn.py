"""Somebody hears whether the user is done, and the session goes by it."""

from app.domain.audio import ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.endpointing import Endpointer, EndpointingRules
from app.domain.dialog.state import DialogState, TurnRules
from tests.unit.playing import Play


def judged(done: float | None) -> Play:
    """Someone said something and is silent; whoever listens to the pause says how probable it is that they are done."""
    play = Play(DialogState(TurnRules(score_end_of_turn=True), Endpointer(EndpointingRules(pause_after_ms=100))))
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


def test_who_sounds_done_is_written_down_at_once():
    """The final begins with the judgement, and the utterance ends after a short silence."""
    play = judged(0.9)

    assert play.new(do.StartFinal) == [do.StartFinal(1, 0)]
    assert silence_until(play, do.CloseUtterance) == EndpointingRules().end_after_likely_done_ms


def test_who_does_not_sound_done_is_waited_for():
    """The final begins when the silence has lasted, the utterance ends when words and silence say so."""
    play = judged(0.1)

    assert play.every(do.StartFinal) == []
    assert silence_until(play, do.StartFinal) == 270
    assert silence_until(play, do.CloseUtterance) == 510


def test_on_an_idle_machine_the_final_begins_before_the_judgement():
    """Once, whatever the judgement is; only the utterance it belongs to."""
    play = judged(None)

    play.happen(ev.ComputeIdle(1, 7))
    assert play.every(do.StartFinal) == []
    play.happen(ev.ComputeIdle(1, 0))
    play.happen(ev.EndOfTurnScored(1, 0, 0.1))

    assert play.every(do.StartFinal) == [do.StartFinal(1, 0)]


def test_a_judgement_that_never_comes_holds_nothing_up():
    """It is as if nobody had been asked."""
    play = judged(None)

    assert silence_until(play, do.StartFinal) == 270
    assert silence_until(play, do.CloseUtterance) == 510


def test_an_open_end_outweighs_the_sound_of_it():
    """Nobody is done who says "and"."""
    play = judged(None)
    play.draft("I think so and")
    play.happen(ev.EndOfTurnScored(1, 0, 0.9))

    assert silence_until(play, do.CloseUtterance) >= EndpointingRules().end_after_incomplete_ms


def test_a_judgement_of_a_pause_that_is_over_says_nothing():
    """The user went on; the next pause is judged anew."""
    play = judged(None)
    play.speech(300)

    play.happen(ev.EndOfTurnScored(1, 0, 0.9))
    play.silence(120)

    assert play.every(do.StartFinal) == []
    assert play.new(do.ScoreEndOfTurn) == [do.ScoreEndOfTurn(1, 1)]


def test_what_was_judged_and_begun_in_a_pause_ends_with_it():
    """The final is dropped, and the next pause is long until it is judged."""
    play = judged(0.9)
    play.speech(300)
    assert play.new(do.DropFinal) == [do.DropFinal(1, 0)]

    play.silence(360)

    assert play.every(do.CloseUtterance) == []


def test_who_surely_sounds_done_is_answered_sooner():
    """Who only seems to be is waited for like everybody."""
    waits = {}
    for done in (0.95, 0.6):
        play = judged(done)
        play.final("What is the time?")
        waits[done] = silence_until(play, do.ReleaseReply)

    assert waits == {0.95: 510, 0.6: 1020}


def test_a_reply_is_begun_early_only_for_who_sounds_done():
    """A reply to half a sentence is work for nothing."""
    begun = {}
    for done in (0.6, 0.1):
        play = judged(done)
        silence_until(play, do.CloseUtterance)
        play.final("What is the time?")
        begun[done] = bool(play.every(do.StartReply))

    assert begun == {0.6: True, 0.1: False}
