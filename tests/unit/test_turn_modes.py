"""Turn modes: what ends the user's turn, and whether it is answered."""

import json

import pytest

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.profile import choose_profile, continue_with_profile
from app.domain.dialog.state import DialogState, Finalizing, TurnRules
from app.domain.errors import ClientError
from app.domain.profile import Profile
from app.domain.turn_mode import TurnMode
from app.web.parley.messages import decode, order
from tests.unit.playing import Play


def session(turns: TurnMode, **rules) -> Play:
    return Play(DialogState(TurnRules(language="en", turns=turns, **rules)))


def say(play: Play, text: str, silence: int = 990) -> None:
    """Speech, a silence that ends the utterance, its final, and the rest of the silence in ms."""
    play.speech(600)
    play.silence(600)
    play.final(text)
    play.silence(silence - 600)


def test_in_manual_turns_no_silence_ends_the_turn():
    """Two utterances with a minute between them are one turn, and nothing is generated before `end`."""
    play = session(TurnMode.MANUAL)

    say(play, "What is", silence=60_000)
    say(play, "the weather?", silence=60_000)

    assert len(play.every(do.ShowFinal)) == 2
    assert play.every(do.StartReply) == []
    play.happen(ev.ClientEnded())
    assert play.new(do.ShowReplyStart) == [do.ShowReplyStart(1, "What is the weather?")]


def test_in_manual_turns_audio_that_stops_ends_the_utterance_alone():
    """The microphone of a button that was let go; `end` may still come."""
    play = session(TurnMode.MANUAL)
    play.speech(600)
    play.happen(ev.AudioStalled(1, play.state.audio_end))
    play.final("Hello.")

    assert isinstance(play.state.phase, Finalizing)
    assert play.every(do.ReleaseReply) == []
    play.happen(ev.ClientEnded())
    assert len(play.every(do.ReleaseReply)) == 1


def test_in_manual_turns_every_word_over_a_reply_is_a_barge_in():
    """ "Yes." was said with the button held, and is answered."""
    play = session(TurnMode.MANUAL)
    say(play, "Shall I go?")
    play.happen(ev.ClientEnded())

    say(play, "Yes.")

    assert play.every(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "barge_in")]
    play.happen(ev.ClientEnded())
    assert play.new(do.ShowReplyStart) == [do.ShowReplyStart(2, "Yes.")]


def test_a_fixed_silence_ends_the_turn_whatever_the_score():
    """After 3 s, and not after the 0.5 s of a sure end of turn."""
    play = session(TurnMode.SILENCE, score_end_of_turn=True)
    play.speech(600)
    play.silence(180)
    play.happen(ev.EndOfTurnScored(1, 0, 0.99))
    play.final("Hello.")
    play.silence(2790)

    assert play.every(do.ReleaseReply) == []
    play.silence(60)
    assert len(play.every(do.ReleaseReply)) == 1


def test_a_fixed_silence_shorter_than_the_endpoint_ends_the_utterance_too():
    """Otherwise the turn could not end with it."""
    play = session(TurnMode.SILENCE, silence_ms=300)
    play.speech(600)
    play.final("Hello")
    play.silence(330)

    assert len(play.every(do.CloseUtterance)) == 1


def test_transcribe_answers_no_turn():
    """Turns end and are counted; a profile with an engine changes nothing in that."""
    play = Play(choose_profile(session(TurnMode.TRANSCRIBE).state, Profile("p", engine="openai")))

    say(play, "Hello.", silence=1500)
    say(play, "Bye.", silence=1500)

    assert play.every(do.StartReply) == []
    assert play.every(do.EndTurnUnanswered) == [do.EndTurnUnanswered(1), do.EndTurnUnanswered(2)]


def test_a_mode_that_is_configured_holds_for_the_current_turn():
    """The silence counts from the end of speech, not from the message."""
    play = session(TurnMode.MANUAL)
    say(play, "Hello.", silence=6000)

    play.happen(ev.ClientConfigured(turns=TurnMode.AUTO))
    play.silence(30)

    assert play.new(do.ShowReplyStart) == [do.ShowReplyStart(1, "Hello.")]


def test_a_profile_sets_the_turns_and_the_client_wins():
    """Also over the profile of a conversation that is continued."""
    profile = Profile("p", turns=TurnMode.SILENCE, silence_ms=2000)
    chosen = choose_profile(DialogState(), profile).rules
    play = Play()
    play.happen(ev.ClientConfigured(turns=TurnMode.MANUAL))
    continued = continue_with_profile(play.state, profile).rules

    assert (chosen.turns, chosen.silence_ms) == (TurnMode.SILENCE, 2000)
    assert (continued.turns, continued.silence_ms) == (TurnMode.MANUAL, 2000)
    assert choose_profile(play.state, Profile("q")).rules.turns is TurnMode.MANUAL


def test_configure_takes_a_mode_and_a_silence():
    """Null and an absent field leave it as it is."""
    configured = order(decode('{"type":"configure","turns":"silence","silenceMs":3000}'))
    unchanged = order(decode('{"type":"configure","turns":null}'))

    assert (configured.turns, configured.silence_ms) == (TurnMode.SILENCE, 3000)
    assert (unchanged.turns, unchanged.silence_ms) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    [{"turns": "sometimes"}, {"turns": 1}, {"silenceMs": 199}, {"silenceMs": 30_001}, {"silenceMs": 1.5}],
    ids=str,
)
def test_another_mode_or_silence_is_a_bad_message(wrong):
    """The message is refused whole."""
    with pytest.raises(ClientError) as refused:
        order(decode(json.dumps({"type": "configure", **wrong})))
    assert refused.value.code == "bad_message"
