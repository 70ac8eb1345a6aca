"""Who has the state, in every situation that matters."""

import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.domain.dialog.endpointing import Endpointer, EndpointingRules
from app.domain.dialog.state import Closed, DialogState, Finalizing, Idle, Leaving, Replying, TurnRules, UserSpeaking
from app.domain.errors import BudgetExhausted, ClientError, NoDrafts, ProviderDown
from app.domain.profile import Profile
from tests.unit.playing import LOCAL, Play

GONE = ProviderDown("local", "asked to fail")


def answered() -> Play:
    """A user said "hello there" and hears the reply."""
    play = Play()
    play.speech(600)
    play.silence(500)
    play.final("Hello there.")
    play.silence(600)
    play.happen(ev.ReplyDeltaReceived(1, "Good day."))
    assert isinstance(play.state.phase, Replying)
    return play


def test_an_utterance_begins_with_its_pre_roll():
    """The pre-roll is fed first, so that no first syllable is lost."""
    play = Play()
    play.silence(900)

    play.speech(90)

    (opened,) = play.new(do.OpenUtterance)
    fed = play.new(do.FeedUtterance)
    assert opened.start == fed[0].chunk.start
    assert play.state.audio_end - opened.start == 16 * 300
    assert [c.chunk.end for c in fed[:-1]] == [c.chunk.start for c in fed[1:]]


def test_sound_shorter_than_the_start_rule_opens_no_utterance():
    """Sound shorter than the rule says opens nothing."""
    play = Play()

    play.speech(60)
    play.silence(2000)

    assert play.effects == []


def test_a_speculative_final_is_shown_at_the_endpoint():
    """The speculative final is held until the endpoint confirms it, then shown at once."""
    play = Play()
    play.speech(900)
    play.silence(180)
    assert play.new(do.StartFinal) == [do.StartFinal(1, 0)]
    play.final("It is done.")
    assert play.every(do.ShowFinal) == []

    play.silence(200)

    assert [final.hypothesis.text for final in play.new(do.ShowFinal)] == ["It is done."]
    assert len(play.every(do.StartFinal)) == 1


def test_resumed_speech_drops_the_speculative_final():
    """The revision grows, the echo of the old one is ignored, and the waste is counted."""
    play = Play()
    play.speech(600)
    play.silence(210)
    play.speech(300)
    assert play.new(do.DropFinal) == [do.DropFinal(1, 0)]

    play.final("half a", revision=0)
    play.silence(600)
    play.final("Half a sentence more.", revision=1)

    (final,) = play.every(do.ShowFinal)
    assert (final.hypothesis.text, final.wasted) == ("Half a sentence more.", 1)


def test_without_speculative_finals_the_final_starts_at_the_endpoint():
    """The setting turns it off."""
    play = Play(DialogState(TurnRules(speculative_finals=False)))
    play.speech(600)

    play.silence(300)
    assert play.every(do.StartFinal) == []
    play.silence(300)

    assert play.new(do.StartFinal) == [do.StartFinal(1, 0)]


def test_endpoint_silence_is_longer_after_incomplete_words():
    """After "and" the silence must be longer; after a full stop it may be shorter."""
    waits = {}
    for text in ("I think that is all.", "I think so and", "I think"):
        play = Play(DialogState(TurnRules(language="en", speculative_finals=False)))
        play.speech(600)
        play.draft(text)
        spoken_until = play.state.audio_end
        while not play.every(do.CloseUtterance):
            play.silence(30)
        waits[text] = play.state.audio_end - spoken_until

    assert waits["I think that is all."] < waits["I think"] < waits["I think so and"]


def test_drafts_are_requested_one_at_a_time_and_after_new_speech():
    """No draft is asked for while one is on its way, and the next only after new speech."""
    play = Play()
    play.speech(900)
    assert len(play.every(do.RequestDraft)) == 1

    play.draft("hello")
    assert len(play.every(do.RequestDraft)) == 1
    play.speech(30)
    assert len(play.every(do.RequestDraft)) == 2
    play.draft("hello world")

    assert play.new(do.ShowDraft) == [do.ShowDraft(1, 1, "hello", "hello", "world")]


def test_last_word_of_a_draft_is_shown_once_another_follows_it():
    """The first word of all at once; nothing that is held back is lost for the final or the endpoint."""
    play = Play()
    play.speech(300)
    play.draft("hello")
    assert play.new(do.ShowDraft) == [do.ShowDraft(1, 1, "hello", "")]

    play.speech(330)
    play.draft("hello worm")
    play.speech(330)
    play.draft("hello world today")

    assert play.new(do.ShowDraft) == [do.ShowDraft(1, 1, "hello world", "hello", "today")]
    assert play.state.phase.utterance.agreement.text == "hello world today"


def test_drafts_without_words_are_repeated_soon():
    """Until the first word is found, a draft is made of every 80 ms of new speech."""
    play = Play()
    play.speech(300)
    play.draft("")
    play.speech(90)
    assert len(play.every(do.RequestDraft)) == 2

    play.draft("hello")
    play.speech(210)
    assert len(play.every(do.RequestDraft)) == 2
    play.speech(60)
    assert len(play.every(do.RequestDraft)) == 3


def test_after_a_skipped_draft_the_next_is_requested():
    """A draft that never came does not stop the drafts."""
    play = Play()
    play.speech(300)
    play.happen(ev.DraftSkipped(1))

    play.speech(330)

    assert len(play.every(do.RequestDraft)) == 2


def test_a_turn_joins_its_utterances():
    """Two utterances with a short pause between them are answered as one."""
    play = Play()
    play.speech(600)
    play.silence(600)
    play.final("First half,")
    play.speech(600)
    play.silence(600)
    play.final("second half.")

    play.silence(600)

    assert play.new(do.ShowReplyStart) == [do.ShowReplyStart(1, "First half, second half.")]
    begun = play.every(do.StartReply)
    assert [message.text for message in begun[-1].conversation] == ["First half, second half."]


def test_an_eager_reply_is_cancelled_unseen_when_the_user_goes_on():
    """The user goes on before the turn is over: nobody hears of the first attempt."""
    play = Play()
    play.speech(600)
    play.silence(600)
    play.final("First half,")
    assert [reply.reply for reply in play.new(do.StartReply)] == [1]

    play.speech(120)

    assert play.new(do.CancelReply) == [do.CancelReply(1)]
    assert play.every(do.ShowReplyCancelled) == []


def test_a_reply_begins_late_in_the_silence_where_the_score_says_that_the_user_continues():
    """Unseen, once, and ready when the silence ends the turn; the user who does continue cancels it."""
    play = Play(DialogState(TurnRules(language="en", score_end_of_turn=True)))
    play.speech(600)
    play.silence(180)
    play.happen(ev.EndOfTurnScored(1, 0, 0.1))
    play.silence(390)
    play.final("First half")
    assert play.every(do.StartReply) == []

    play.silence(60)
    assert [reply.reply for reply in play.new(do.StartReply)] == [1]
    assert play.every(do.ReleaseReply) == []
    play.happen(ev.ReplyFailed(1, GONE))
    play.silence(300)
    assert play.new(do.StartReply) == []
    play.silence(120)

    assert play.every(do.ReleaseReply) == [do.ReleaseReply(2)]


def test_finals_that_come_out_of_order_are_joined_in_order():
    """A slow first final still stands first."""
    play = Play()
    play.speech(600)
    play.silence(600)
    play.speech(600)
    play.silence(600)
    play.final("world.", utterance=2)
    play.silence(900)

    play.final("Hello", utterance=1)

    assert play.new(do.ShowReplyStart) == [do.ShowReplyStart(1, "Hello world.")]


def test_a_reply_waits_for_a_late_final():
    """The turn is over long before the final comes; the reply starts with the final."""
    play = Play()
    play.speech(600)
    play.silence(3000)
    assert play.state.phase == Finalizing(play.state.rules.reply_after_ms, turn_over=True, speech_end=ms(600))

    play.final("Late.")

    assert play.new(do.ReleaseReply) == [do.ReleaseReply(1)]


def test_end_closes_the_utterance_and_answers_at_once():
    """`end` in the middle of speech closes the utterance and answers without waiting."""
    play = Play()
    play.speech(600)

    play.happen(ev.ClientEnded())
    assert play.new(do.CloseUtterance) == [do.CloseUtterance(1, 0)]
    play.final("Now.")

    assert play.new(do.ShowReplyStart) == [do.ShowReplyStart(1, "Now.")]


def test_stalled_audio_ends_the_utterance():
    """Audio that stalls ends the utterance; audio that goes on does not."""
    play = Play()
    play.speech(600)
    (wake,) = play.every(do.StartTimer)
    play.happen(wake.event)
    assert isinstance(play.state.phase, UserSpeaking)
    again = play.new(do.StartTimer)[0].event

    play.happen(again)

    assert play.new(do.CloseUtterance) == [do.CloseUtterance(1, 0)]


def test_the_turn_ends_where_no_audio_comes_at_all():
    """A client that stops sending after its words is answered all the same."""
    play = Play()
    play.speech(600)
    play.silence(600)
    play.final("Hello.")

    play.happen(ev.AudioStalled(1, play.state.audio_end))

    assert play.new(do.ReleaseReply) == [do.ReleaseReply(1)]


def test_audio_that_is_late_ends_no_turn():
    """While audio comes, however slowly, silence is counted in it alone: the timer only starts again."""
    play = Play()
    play.speech(600)
    play.silence(600)
    play.final("Hello.")
    before = play.state.audio_end
    play.silence(30)

    play.happen(ev.AudioStalled(1, before))

    assert not play.new(do.ReleaseReply)
    assert play.new(do.StartTimer) == [do.StartTimer(3000, ev.AudioStalled(1, play.state.audio_end))]


def test_a_turn_is_the_same_at_any_speed_of_its_audio():
    """Without timers, as where audio comes faster than real time, the same samples give the same effects."""
    chunked, late = Play(), Play()
    for play in (chunked, late):
        play.speech(600)
        if play is late:
            play.happen(ev.AudioStalled(1, 0))
        play.silence(600)
        if play is late:
            play.happen(ev.AudioStalled(1, ms(600)))
        play.final("Hello.")
        play.silence(900)

    assert chunked.every(do.ReleaseReply) == [do.ReleaseReply(1)]
    without_timers = [effect for effect in late.effects if not isinstance(effect, do.StartTimer)]
    assert without_timers == [effect for effect in chunked.effects if not isinstance(effect, do.StartTimer)]


def test_an_empty_final_is_shown_and_not_answered():
    """An empty final is shown, and nothing replies to it."""
    play = Play()
    play.speech(120)
    play.silence(600)

    play.final("")
    play.silence(2000)

    assert len(play.every(do.ShowFinal)) == 1
    assert play.every(do.StartReply) == []
    assert play.state.phase == Idle()


def test_barge_in_cancels_the_reply():
    """Words over the reply cancel it, and the words become the next turn."""
    play = answered()
    play.speech(450)
    assert play.every(do.CancelReply) == []

    play.draft("wait a moment")

    assert play.new(do.CancelReply) == [do.CancelReply(1)]
    assert play.new(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "barge_in")]
    assert play.new(do.ShowDraft)[0].turn == 2


def test_a_backchannel_does_not_cancel_the_reply():
    """ "Mm-hm" over the reply claims no state."""
    play = answered()
    play.speech(300)
    play.draft("Mm-hm.")
    play.silence(600)
    play.final("Mm-hm.")
    assert play.every(do.CancelReply) == []
    assert isinstance(play.state.phase, Replying)

    play.happen(ev.ReplyDeltaReceived(1, " How are you?"))

    assert play.new(do.ShowReplyDelta) == [do.ShowReplyDelta(1, " How are you?")]


def test_the_phase_is_replying_until_playback_is_finished():
    """After its last audio was sent, the client still speaks for a while."""
    play = answered()
    play.happen(ev.ReplyAudioReceived(1, AudioChunk(bytes(2 * ms(2000)), 0)))
    play.silence(500 - 500 % 30)

    play.happen(ev.ReplyFinished(1))

    (wake,) = play.new(do.StartTimer)
    assert 1500 <= wake.ms <= 1530
    assert play.new(do.ShowReply) == [do.ShowReply(1, "Good day.")]
    play.happen(wake.event)
    assert play.state.phase == Idle()


def test_the_next_prompt_has_both_sides_of_the_history():
    """The next prompt has both sides of the turn before."""
    play = answered()
    play.happen(ev.ReplyFinished(1))
    play.happen(ev.PlaybackFinished(1))
    play.speech(600)
    play.silence(600)

    play.final("And you?")

    (begun,) = play.new(do.StartReply)
    assert [(m.role, m.text) for m in begun.conversation] == [
        (Role.USER, "Hello there."),
        (Role.ASSISTANT, "Good day."),
        (Role.USER, "And you?"),
    ]


def test_the_text_of_a_cancelled_reply_stays_in_the_history():
    """The user was told it, so the model must know of it."""
    play = answered()

    play.happen(ev.ClientCancelled())

    assert play.new(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "cancelled")]
    assert [m.text for m in play.state.history] == ["Hello there.", "Good day."]
    assert play.state.phase == Idle()


def test_events_of_a_cancelled_reply_are_ignored():
    """What an engine still says of a reply that is over changes nothing."""
    play = answered()
    play.happen(ev.ClientCancelled())
    before = play.state

    effects = play.happen(ev.ReplyDeltaReceived(1, "more"), ev.ReplyFinished(1), ev.ReplyFailed(1, GONE))

    assert effects == []
    assert play.state == before


def test_a_failed_final_is_replaced_by_the_newest_draft():
    """No word is lost: the newest draft stands in, the error is shown, and no route is named."""
    play = Play()
    play.speech(600)
    play.draft("better than nothing")
    play.silence(600)

    play.happen(ev.FinalFailed(1, 0, GONE))

    (final,) = play.new(do.ShowFinal)
    assert (final.hypothesis.text, final.route) == ("better than nothing", None)
    assert play.new(do.ShowError) == [do.ShowError(GONE)]


def test_a_failed_speculative_final_is_started_again_at_the_endpoint():
    """A failure in the pause costs nothing but the head start."""
    play = Play()
    play.speech(600)
    play.silence(180)
    play.happen(ev.FinalFailed(1, 0, GONE))

    play.silence(400)

    assert play.new(do.StartFinal) == [do.StartFinal(1, 0)]
    assert play.every(do.ShowError) == []


def test_a_failed_reply_is_cancelled_and_the_phase_is_idle():
    """The client hears why, and may speak again."""
    play = answered()

    play.happen(ev.ReplyFailed(1, GONE))

    assert [type(effect) for effect in play.newest] == [do.ShowError, do.CancelReply, do.ShowReplyCancelled]
    assert play.state.phase == Idle()


def test_an_eager_reply_that_fails_is_started_again_at_the_end_of_the_turn():
    """An eager reply that fails is begun anew when the turn is over."""
    play = Play()
    play.speech(600)
    play.silence(600)
    play.final("Hello.")
    play.happen(ev.ReplyFailed(1, GONE))
    assert play.every(do.ShowError) == []

    play.silence(600)

    assert [reply.reply for reply in play.new(do.StartReply)] == [2]
    assert play.new(do.ReleaseReply) == [do.ReleaseReply(2)]


def test_an_utterance_of_maximum_length_is_split_without_a_gap():
    """At the longest length a final is due, and the next utterance begins where it ended."""
    play = Play()

    play.speech(30_000)

    first, second = play.every(do.OpenUtterance)
    (closed,) = play.every(do.CloseUtterance)
    assert closed.utterance == first.utterance
    fed = [f for f in play.every(do.FeedUtterance) if f.utterance == first.utterance]
    assert fed[-1].chunk.end == second.start


@pytest.mark.parametrize(("speech", "pause", "cut"), [(14_000, 400, False), (20_000, 400, True), (26_500, 80, True)])
def test_a_long_utterance_is_ended_by_ever_shorter_pauses(speech, pause, cut):
    """Rather than cut a word at the longest length."""
    play = Play()

    play.speech(speech)
    play.silence(pause)
    play.speech(200)

    assert bool(play.every(do.CloseUtterance)) is cut


def test_a_client_that_disconnects_in_mid_speech_gets_its_final_recorded():
    """Its last final is awaited, shown to the archive, and then the session is over."""
    play = Play()
    play.speech(600)
    play.happen(ev.ClientLeft())
    assert isinstance(play.state.phase, Leaving)

    play.final("My last w-")

    assert [final.hypothesis.text for final in play.new(do.ShowFinal)] == ["My last w-"]
    assert isinstance(play.state.phase, Closed)


def test_pending_finals_of_a_disconnected_client_are_awaited_until_the_leave_timeout():
    """An engine that never answers cannot keep the session, and its words are recorded as the newest draft."""
    play = Play()
    play.speech(600)
    play.draft("and so my")
    play.silence(900)
    play.speech(600)
    play.draft("fellow Americans")
    play.happen(ev.ClientLeft())
    assert play.new(do.StartLeaveTimer) == [do.StartLeaveTimer(play.state.rules.leave_grace_ms)]

    play.happen(ev.LeaveTimeoutDue())

    finals = play.new(do.ShowFinal)
    assert [(f.utterance, f.hypothesis.text, f.route) for f in finals] == [
        (1, "and so my", None),
        (2, "fellow Americans", None),
    ]
    assert isinstance(play.state.phase, Closed)


def test_an_empty_draft_leaves_the_newest_words_for_a_failed_final():
    """What the client was shown is what is recorded, where no route gives a final."""
    play = Play()
    play.speech(600)
    play.draft("He should")
    play.draft("")
    play.happen(ev.ClientLeft())

    play.happen(ev.LeaveTimeoutDue())

    assert [final.hypothesis.text for final in play.new(do.ShowFinal)] == ["He should"]


def test_a_client_that_disconnects_in_the_pause_starts_no_reply():
    """The speculative final is there and is shown; nobody is left to be answered."""
    play = Play()
    play.speech(600)
    play.silence(180)
    play.final("Good bye.")

    play.happen(ev.ClientLeft())

    assert [final.hypothesis.text for final in play.new(do.ShowFinal)] == ["Good bye."]
    assert play.every(do.StartReply) == play.every(do.CancelReply) == []
    assert isinstance(play.state.phase, Closed)


def test_the_reply_under_way_is_recorded_as_cancelled_when_the_client_disconnects():
    """As far as it was sent; nothing more is shown to the client that is gone."""
    play = answered()

    play.happen(ev.ClientLeft())

    assert play.newest == [do.CancelReply(1), do.RecordReplyCancelled(1, "disconnected")]
    assert [m.text for m in play.state.history] == ["Hello there.", "Good day."]


def test_a_complete_reply_is_not_cancelled_when_the_client_disconnects():
    """It was recorded whole when it was complete."""
    play = answered()
    play.happen(ev.ReplyFinished(1))

    assert play.happen(ev.ClientLeft()) == []


@pytest.mark.parametrize(
    ("interrupt", "reason"), [(None, "barge_in"), (ev.ClientCancelled(), "cancelled")], ids=["barge-in", "cancel"]
)
def test_barge_in_while_a_complete_reply_plays_stops_the_playback_alone(interrupt, reason):
    """The reply was shown as complete: it is not cancelled as well, and it is in the history once."""
    play = answered()
    play.happen(ev.ReplyAudioReceived(1, AudioChunk(bytes(2 * ms(9000)), 0)), ev.ReplyFinished(1))
    assert play.new(do.ShowReply) == [do.ShowReply(1, "Good day.")]

    if interrupt:
        play.happen(interrupt)
    else:
        play.may_echo = False
        play.speech(450)
        play.draft("wait a moment")

    assert play.new(do.StopPlayback) == [do.StopPlayback(1, reason)]
    assert play.every(do.ShowReplyCancelled) == []
    assert [m.text for m in play.state.history] == ["Hello there.", "Good day."]


def speak_pieces(play: Play, *pieces: tuple[str, int]) -> None:
    """The voice begins with each piece, and its audio comes, in milliseconds."""
    for text, length_ms in pieces:
        play.happen(ev.ReplyPieceBegun(1, text), ev.ReplyAudioReceived(1, AudioChunk(bytes(2 * ms(length_ms)), 0)))


@pytest.mark.parametrize("is_complete", [True, False])
def test_the_history_of_an_interrupted_reply_ends_where_the_user_stopped_hearing_it(is_complete):
    """Three seconds into it: the first sentence, and half the words of the second."""
    play = answered()
    speak_pieces(play, ("It begins here.", 2000), ("And then two more words.", 2000), ("The pineapple.", 2000))
    if is_complete:
        play.happen(ev.ReplyFinished(1))
    play.silence(3000)

    play.happen(ev.ClientCancelled())

    assert play.state.history[1:] == (Message(Role.ASSISTANT, "It begins here. And then", is_cut_off=True),)


def test_a_reply_of_which_nothing_was_heard_is_not_in_the_history():
    """Its text was generated, and the user interrupted before its audio came."""
    play = answered()
    play.happen(ev.ReplyPieceBegun(1, "Good day."), ev.ClientCancelled())

    assert [m.text for m in play.state.history] == ["Hello there."]


def test_a_reply_that_was_heard_to_its_end_is_in_the_history_as_it_was_written():
    """Also where the client stops it before the timer of its playback."""
    play = answered()
    speak_pieces(play, ("Good day", 900))
    play.happen(ev.ReplyFinished(1))
    play.silence(900)

    play.happen(ev.ClientCancelled())

    assert play.state.history[1:] == (Message(Role.ASSISTANT, "Good day."),)


def test_a_reply_whose_voice_failed_was_read():
    """From there on it is text, so its whole text counts."""
    play = answered()
    speak_pieces(play, ("Good day", 900))
    play.happen(ev.ReplySpeechRefused(1, GONE), ev.ReplyDeltaReceived(1, " And more."), ev.ClientCancelled())

    assert play.state.history[1:] == (Message(Role.ASSISTANT, "Good day. And more.", is_cut_off=True),)


def test_a_failed_reply_is_cut_off_in_the_history():
    """Its engine went away behind the first words: they are kept, marked, and the client is told."""
    play = answered()

    play.happen(ev.ReplyFailed(1, GONE))

    assert play.new(do.ShowReplyCancelled) == [do.ShowReplyCancelled(1, "failed")]
    assert play.state.history[1:] == (Message(Role.ASSISTANT, "Good day.", is_cut_off=True),)


def test_a_voice_that_failed_is_reported_again_only_after_it_has_spoken():
    """One error for an outage, not one a reply."""
    play = answered()
    refused = ev.ReplySpeechRefused(1, GONE)

    assert play.happen(refused) == [do.ShowError(GONE)]
    assert play.happen(refused) == []
    speak_pieces(play, ("Good day.", 90))
    assert play.happen(refused) == [do.ShowError(GONE)]


def test_an_utterance_split_in_a_pause_drops_the_speculative_final():
    """Its final was started before the newest speech: another is asked for, so that no word is missing."""
    rules = EndpointingRules(max_utterance_ms=2000, soft_max_utterance_ms=1999)
    play = Play(DialogState(endpointer=Endpointer(rules)))
    play.speech(1770)
    play.silence(210)
    play.final("All but the last word")

    play.speech(60)

    assert play.every(do.StartFinal) == [do.StartFinal(1, 0), do.StartFinal(1, 1)]
    assert play.every(do.ShowFinal) == play.every(do.StartReply) == []


def test_a_speculative_final_that_failed_is_started_again_when_the_endpoint_came_first():
    """The failure waited in the inbox behind the audio of the endpoint."""
    play = Play()
    play.speech(600)
    play.silence(600)
    assert play.every(do.StartFinal) == [do.StartFinal(1, 0)]

    play.happen(ev.FinalFailed(1, 0, GONE, speculative=True))

    assert play.newest == [do.StartFinal(1, 0)]


def test_an_eager_reply_is_cancelled_where_replies_are_turned_off_meanwhile():
    """Nothing goes on generating for a turn that ends unanswered."""
    play = Play()
    play.speech(600)
    play.silence(600)
    play.final("Just write.")
    play.happen(ev.ClientConfigured(reply=False))

    play.silence(900)

    assert play.new(do.CancelReply) == [do.CancelReply(1)]
    assert play.state.reply is None


def test_without_replies_the_turn_ends_unanswered():
    """Transcription only: turns count on, and nothing answers."""
    play = Play()
    play.happen(ev.ClientConfigured(reply=False))
    play.speech(600)
    play.silence(600)
    play.final("Just write.")
    play.silence(900)

    assert play.every(do.StartReply) == []
    assert play.every(do.EndTurnUnanswered) == [do.EndTurnUnanswered(1)]
    assert (play.state.phase, play.state.turn) == (Idle(), 2)


def test_a_configured_language_counts_from_the_next_utterance():
    """It counts from the next utterance on; an empty one means: find out."""
    play = Play()
    play.happen(ev.ClientConfigured(language="de"))
    play.speech(300)
    assert play.new(do.OpenUtterance)[0].language == "de"

    play.happen(ev.ClientConfigured(language=""))

    assert play.state.rules.language is None


def test_missing_drafts_are_told_once_for_each_language():
    """Where no model for drafts knows the language; drafts that are only late or replaced are no reason."""
    play = Play()
    for language in ("de", "de", "fr"):
        play.happen(ev.ClientConfigured(language=language))
        play.speech(600)
        number = play.state.utterance_count
        play.happen(ev.DraftSkipped(number), *[ev.DraftSkipped(number, is_refused=True)] * 2)
        play.silence(2000)
        play.final("Hallo.")

    errors = [shown.error for shown in play.every(do.ShowError)]
    assert [type(error) for error in errors] == [NoDrafts, NoDrafts]
    assert ["in de" in str(errors[0]), "in fr" in str(errors[1])] == [True, True]


@pytest.mark.parametrize("words", [True, False])
def test_finals_have_words_for_a_client_that_asked_for_them(words):
    play = Play()
    play.happen(ev.ClientConfigured(words=True), ev.ClientConfigured(reply=False), ev.ClientConfigured(words=words))
    play.speech(600)
    play.silence(2000)
    play.final("Hello.")

    assert [shown.with_words for shown in play.every(do.ShowFinal)] == [words]


def test_configured_key_terms_count_for_the_utterance_that_is_spoken():
    """Those of the profile stay; a list that changes nothing orders nothing."""
    play = Play()
    play.happen(ev.ClientConfigured(profile=Profile("p", key_terms=("Waldo",))))
    play.speech(300)
    assert play.new(do.OpenUtterance)[0].key_terms == ("Waldo",)

    play.happen(ev.ClientConfigured(key_terms=("Siobhan",)))
    assert play.new(do.ExpectKeyTerms) == [do.ExpectKeyTerms(1, ("Siobhan", "Waldo"))]
    play.happen(ev.ClientConfigured(key_terms=("Siobhan", "Waldo")))
    assert play.new(do.ExpectKeyTerms) == []

    play.happen(ev.ClientConfigured(key_terms=()))
    assert play.new(do.ExpectKeyTerms) == [do.ExpectKeyTerms(1, ("Waldo",))]


def test_a_configured_deadline_counts_from_the_next_utterance():
    """It counts from the next utterance on; none is the server's own."""
    play = Play()
    play.happen(ev.ClientConfigured(deadline_ms=700))
    play.happen(ev.ClientConfigured(language="de"))
    play.speech(300)
    assert play.new(do.OpenUtterance)[0].deadline_ms == 700

    play.happen(ev.ClientConfigured(deadline_ms=0))

    assert play.state.rules.deadline_ms is None


def test_say_is_spoken_as_a_reply():
    """It is a reply of its own turn, to no words of the user."""
    play = Play()

    play.happen(ev.ClientRequestedSpeech("Welcome."))

    assert play.new(do.StartSpeakingText) == [do.StartSpeakingText(1, "Welcome.")]
    assert play.new(do.ShowReplyStart) == [do.ShowReplyStart(1, "")]


def test_refused_speech_is_reported_once_in_a_session():
    """The first reply that stays text says so; the later ones do not repeat it."""
    play = Play()
    spent = BudgetExhausted("replies are text only")

    effects = [
        effect
        for number in (1, 2)
        for effect in play.happen(ev.ClientRequestedSpeech("Welcome."), ev.ReplySpeechRefused(number, spent))
    ]

    assert [effect for effect in effects if isinstance(effect, do.ShowError)] == [do.ShowError(spent)]
    assert play.state.reply_count == 2


@pytest.mark.parametrize("silence_ms", [0, 600], ids=["while the user speaks", "while a final is pending"])
def test_say_is_refused_while_the_user_has_the_turn(silence_ms):
    """The client is told by a stable code, and may say it again."""
    play = Play()
    play.speech(300)
    play.silence(silence_ms)

    (refused,) = play.happen(ev.ClientRequestedSpeech("Not now."))

    assert isinstance(refused, do.ShowError)
    assert isinstance(refused.error, ClientError)
    assert refused.error.code == "say_refused"


def test_the_final_names_its_route():
    """Who wrote a final travels with it."""
    play = Play()
    play.speech(600)
    play.silence(600)

    play.final("Hello.")

    assert play.new(do.ShowFinal)[0].route == LOCAL
