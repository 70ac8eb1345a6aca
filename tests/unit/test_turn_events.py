"""Speech and turn events: what a client that wants them is told, and that nobody else is told anything."""

import json

import pytest

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.state import DialogState, Finalizing, Idle, Replying, TurnRules
from app.domain.turn_mode import TurnMode
from app.web.parley.messages import decode, encode, order, server_message
from tests.unit.playing import Play

EVENTS = do.ShowSpeechStarted | do.ShowSpeechStopped | do.ShowTurnEager | do.ShowTurnResumed | do.ShowTurnEnd


def session(**rules) -> Play:
    return Play(DialogState(TurnRules(**{"language": "en", "events": True, "score_end_of_turn": True, **rules})))


def turn_events(play: Play) -> list[do.Effect]:
    return [effect for effect in play.effects if isinstance(effect, EVENTS)]


def pause(play: Play, text: str, probability: float = 0.9, revision: int = 0) -> None:
    """Speech, a pause, its score and its early final."""
    play.speech(600)
    play.silence(180)
    play.happen(ev.EndOfTurnScored(play.state.utterance_count, revision, probability))
    play.final(text, revision=revision)


def test_a_turn_is_told_from_its_first_sample_to_its_end():
    """Positions are of the audio: 300 ms of silence, 600 ms of speech, and the silence that ends the utterance."""
    play = session()
    play.silence(300)
    pause(play, "What is the time?")
    play.silence(600)

    assert turn_events(play) == [
        do.ShowSpeechStarted(1, 1, start=1440, speech_start=4800),
        do.ShowTurnEager(1, "What is the time?", 0.9),
        do.ShowSpeechStopped(1, 1, speech_end=14_400, end=19_200),
        do.ShowTurnEnd(1, "What is the time?"),
    ]


def test_speech_behind_an_eager_event_resumes_the_turn():
    """In the same utterance, and in the next one."""
    play = session()
    pause(play, "What is the time?")
    pause(play, "What is the time in Rome?", revision=1)
    play.silence(300)
    play.speech(600)

    kinds = [type(effect) for effect in turn_events(play)]
    eager_and_resumed = [do.ShowTurnEager, do.ShowTurnResumed]
    assert kinds == [
        do.ShowSpeechStarted,
        *eager_and_resumed,
        do.ShowTurnEager,
        do.ShowSpeechStopped,
        do.ShowTurnResumed,
        do.ShowSpeechStarted,
    ]


def test_no_turn_is_eager_whose_words_or_score_ask_for_more():
    """A low score, and an open end."""
    for text, probability in (("What is the time?", 0.3), ("I would like to", 0.9)):
        play = session()
        pause(play, text, probability)

        assert play.every(do.ShowTurnEager) == []


def test_without_a_turn_model_the_final_behind_the_endpoint_is_eager():
    """There is no probability."""
    play = session(score_end_of_turn=False)
    play.speech(600)
    play.silence(600)
    play.final("Hello.")

    assert play.every(do.ShowTurnEager) == [do.ShowTurnEager(1, "Hello.", None)]


def test_where_the_client_ends_turns_none_is_eager():
    play = session(turns=TurnMode.MANUAL)
    pause(play, "Hello.")
    play.silence(3000)

    assert play.every(do.ShowTurnEager) == []
    play.happen(ev.ClientEnded())
    assert play.new(do.ShowTurnEnd) == [do.ShowTurnEnd(1, "Hello.")]


def test_a_turn_that_nothing_answers_ends_all_the_same():
    play = session(turns=TurnMode.TRANSCRIBE)
    pause(play, "Hello.")
    play.silence(900)

    assert play.every(do.ShowTurnEnd) == [do.ShowTurnEnd(1, "Hello.")]
    assert play.every(do.StartReply) == []


def test_a_backchannel_over_a_reply_is_speech_and_no_turn():
    play = session()
    pause(play, "Hello.")
    play.silence(900)
    pause(play, "mm-hm")
    play.silence(900)

    assert [type(e) for e in turn_events(play)[4:]] == [do.ShowSpeechStarted, do.ShowSpeechStopped]
    assert isinstance(play.state.phase, Replying)


def test_text_behind_an_eager_event_resumes_the_turn_and_ends_it():
    """The words of the end are not those of the eager event."""
    play = session()
    pause(play, "Hello.")
    play.silence(210)
    play.happen(ev.ClientSentText("Anyone?"))

    assert play.new(do.ShowTurnResumed) == [do.ShowTurnResumed(1)]
    assert play.new(do.ShowTurnEnd) == [do.ShowTurnEnd(1, "Hello. Anyone?")]


def test_who_has_not_asked_is_told_nothing():
    play = session(events=False)
    pause(play, "Hello.")
    pause(play, "Hello there.", revision=1)
    play.silence(900)

    assert turn_events(play) == []
    assert play.every(do.ReleaseReply) != []


def test_audio_between_two_boundaries_makes_no_event():
    """They cost nothing on the way of each chunk."""
    play = session()
    play.speech(600)

    assert [type(e) for e in play.speech(300)] == [do.FeedUtterance] * 10 + []


def test_clear_takes_back_an_utterance_that_is_open():
    """Its final is empty, and comes at once; nothing is transcribed any more, and nothing is answered."""
    play = session(eager_replies=False)
    play.speech(600)
    play.draft("what is")
    play.happen(ev.ClientCleared())

    (final,) = play.new(do.ShowFinal)
    assert (final.utterance, final.hypothesis.text, final.route) == (1, "", None)
    assert play.every(do.StartFinal) == []
    assert isinstance(play.state.phase, Idle)
    assert play.final("What is the time?") == []
    play.speech(600)
    assert play.new(do.OpenUtterance)[0].utterance == 2


def test_clear_takes_back_the_finals_of_the_turn_and_the_reply_begun_for_them():
    play = session()
    pause(play, "What is the time?")
    play.silence(210)
    assert isinstance(play.state.phase, Finalizing)
    assert play.every(do.StartReply) != []
    play.happen(ev.ClientCleared())

    assert play.new(do.CancelReply) == [do.CancelReply(1)]
    assert play.new(do.ShowTurnResumed) == [do.ShowTurnResumed(1)]
    assert isinstance(play.state.phase, Idle)
    play.silence(3000)
    assert play.every(do.ShowTurnEnd) == []


def test_clear_shows_a_pending_final_empty():
    """In the mode of a button: what was said with it held is thrown away."""
    play = session(turns=TurnMode.MANUAL)
    play.speech(600)
    play.silence(1200)
    play.happen(ev.ClientCleared(), ev.ClientEnded())

    assert [final.hypothesis.text for final in play.new(do.ShowFinal)] == [""]
    assert play.every(do.ShowTurnEnd) == [do.ShowTurnEnd(1, "")]
    assert play.every(do.StartReply) == []


def test_clear_over_a_reply_leaves_the_reply():
    play = session()
    pause(play, "Hello.")
    play.silence(900)
    play.speech(600)
    play.happen(ev.ClientCleared())

    assert isinstance(play.state.phase, Replying)
    assert play.every(do.ShowReplyCancelled) == []


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.silence(300)])
def test_clear_without_a_turn_changes_nothing(make):
    play = session()
    make(play)

    before = play.state
    assert play.happen(ev.ClientCleared()) == []
    assert play.state == before


def test_the_messages_of_turn_events():
    """Seconds of the session's audio; a probability only where there is one."""
    shown = [
        (do.ShowSpeechStarted(1, 2, 1600, 4800), {"type": "speechStarted", "turn": 1, "utterance": 2, "at": 0.3}),
        (do.ShowSpeechStopped(1, 2, 8000, 16_000), {"type": "speechStopped", "turn": 1, "utterance": 2, "at": 0.5}),
        (do.ShowTurnEager(1, "Hi.", None), {"type": "turnEager", "turn": 1, "text": "Hi."}),
        (
            do.ShowTurnEager(1, "Hi.", 0.91234),
            {"type": "turnEager", "turn": 1, "text": "Hi.", "probability": 0.912},
        ),
        (do.ShowTurnResumed(1), {"type": "turnResumed", "turn": 1}),
        (do.ShowTurnEnd(1, "Hi."), {"type": "turnEnd", "turn": 1, "text": "Hi."}),
    ]

    for effect, message in shown:
        assert json.loads(encode(server_message(effect, None))) == message


def test_configure_asks_for_events():
    assert order(decode('{"type":"configure","events":true}')).events is True
    assert order(decode('{"type":"configure"}')).events is None
    play = session(events=False)
    play.happen(ev.ClientConfigured(events=True))
    play.speech(600)
    assert play.every(do.ShowSpeechStarted) != []


def test_words_typed_while_the_user_speaks_stand_in_the_eager_event_as_at_the_end_of_the_turn():
    play = session()
    play.speech(600)
    play.happen(ev.ClientSentText("yes"))
    pause(play, "What is the time?")
    play.silence(1500)

    (end,) = play.every(do.ShowTurnEnd)
    assert {eager.text for eager in play.every(do.ShowTurnEager)} == {end.text}
