"""Replies that the client asks for, and the history that it writes."""

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.turn_mode import TurnMode
from tests.unit.playing import Play

HISTORY = (Message(Role.USER, "one"), Message(Role.ASSISTANT, "two"))
ASK = ev.ClientRequestedReply("r1")


def play(**rules) -> Play:
    """A client that ends turns itself and asks for replies itself."""
    told = {"reply": False, "keeps_unanswered": True, "turns": TurnMode.MANUAL, "events": True, "language": "en"}
    return Play(DialogState(TurnRules(**{**told, **rules}), history=HISTORY))


def speak_and_end(dialog: Play) -> None:
    dialog.speech(600)
    dialog.happen(ev.ClientEnded())


def test_a_request_is_answered_from_the_history_at_once():
    """No turn of the user is needed; the reply has the request's name and instructions."""
    dialog = play()

    dialog.happen(ev.ClientRequestedReply("r1", instructions="Sing.", speak=False))

    [start] = dialog.new(do.StartReply)
    assert start.conversation == (Message(Role.SYSTEM, "Sing."), *HISTORY)
    assert not start.speak
    assert dialog.new(do.ShowReplyStart) == [do.ShowReplyStart(1, "", "r1")]
    assert dialog.new(do.ReleaseReply) == [do.ReleaseReply(start.reply)]


def test_a_request_waits_for_the_words_of_the_turn_that_the_client_has_ended():
    """They are the last message of its prompt."""
    dialog = play()
    speak_and_end(dialog)

    waiting = dialog.happen(ASK)
    dialog.final("hello")

    assert waiting == []
    assert dialog.new(do.StartReply)[0].conversation == (*HISTORY, Message(Role.USER, "hello"))
    assert dialog.new(do.ShowTurnEnd) == [do.ShowTurnEnd(1, "hello")]
    assert dialog.new(do.ShowReplyStart) == [do.ShowReplyStart(1, "hello", "r1")]


def test_a_request_behind_a_turn_without_words_answers_the_history():
    """A commit of silence is told of, and keeps nothing back."""
    dialog = play()
    speak_and_end(dialog)
    dialog.happen(ASK)

    dialog.final("")

    assert dialog.new(do.StartReply)[0].conversation == HISTORY
    assert [end.text for end in dialog.new(do.ShowTurnEnd)] == [""]


def test_an_unanswered_turn_joins_the_history_where_the_client_wants_it():
    """A later request answers it too."""
    dialog = play()
    speak_and_end(dialog)
    dialog.final("hello")

    dialog.happen(ASK)

    assert dialog.new(do.StartReply)[0].conversation == (*HISTORY, Message(Role.USER, "hello"))


def test_an_unanswered_turn_is_forgotten_otherwise():
    """A session that transcribes for hours collects nothing."""
    dialog = play(keeps_unanswered=False)
    speak_and_end(dialog)

    dialog.final("hello")

    assert dialog.state.history == HISTORY


def test_each_end_of_the_client_is_told_of_once():
    """Also where nothing was said, during a reply, and for two ends whose words came together."""
    dialog = play()
    dialog.happen(ev.ClientEnded(), ASK, ev.ClientEnded())
    speak_and_end(dialog)
    dialog.final("stop it now")

    assert [end.turn for end in dialog.every(do.ShowTurnEnd)] == sorted({e.turn for e in dialog.every(do.ShowTurnEnd)})
    assert [end.text for end in dialog.every(do.ShowTurnEnd)] == ["", "", "stop it now"]


def test_a_second_request_is_refused_while_the_first_is_generated_or_waits():
    """With its name, so that the client knows which."""
    for begin in (lambda d: d.happen(ASK), lambda d: (speak_and_end(d), d.happen(ASK))):
        dialog = play()
        begin(dialog)

        dialog.happen(ev.ClientRequestedReply("r2"))

        [refused] = dialog.newest
        assert (refused.error.code, refused.request) == ("say_refused", "r2")


def test_a_request_while_a_reply_is_only_played_begins_behind_it():
    """The client's player has the rest; the history has the whole of it."""
    dialog = play()
    dialog.happen(ASK, ev.ReplyDeltaReceived(1, "Well."), ev.ReplyFinished(1))

    dialog.happen(ev.ClientRequestedReply("r2"))

    assert dialog.new(do.StopPlayback) == []
    assert dialog.new(do.StartReply)[0].conversation == (*HISTORY, Message(Role.ASSISTANT, "Well."))


def test_cancel_takes_back_a_request_that_waits():
    """The turn is over without a reply."""
    dialog = play()
    speak_and_end(dialog)
    dialog.happen(ASK, ev.ClientCancelled())

    dialog.final("hello")

    assert dialog.every(do.StartReply) == []
    assert dialog.state.history == (*HISTORY, Message(Role.USER, "hello"))


def test_the_client_writes_the_history():
    """A message of the user's is recorded as their words; an edited history replaces what there was."""
    dialog = play()

    added = dialog.happen(ev.ClientAddedMessage(Message(Role.USER, "three")))
    dialog.happen(ev.ClientReplacedHistory(HISTORY[:1]))

    assert added == [do.RecordUserText(1, "three")]
    assert dialog.state.history == HISTORY[:1]


def test_voice_and_instructions_are_the_clients():
    """An empty voice leaves the profile's."""
    dialog = play()
    dialog.happen(ev.ClientConfigured(instructions="Sing.", voice="lessac"), ev.ClientConfigured(voice=""), ASK)

    [start] = dialog.new(do.StartReply)
    assert start.conversation[0].text == "Sing."
    assert start.profile is not None
    assert start.profile.voice == "lessac"
