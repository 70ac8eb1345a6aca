"""How much of a reply was heard: what the client reports, within what it was sent."""

import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Role
from app.domain.dialog.detachment import without_stalls
from app.domain.dialog.state import Idle, Replying
from tests.unit.playing import Play

WORDS = "one two three four five six seven eight nine ten"
SECOND = AudioChunk(bytes(2 * ms(1000)), 0)


def replying(*, is_complete: bool) -> Play:
    """A reply of ten words in one second of audio, all of it sent."""
    play = Play()
    play.speech(600)
    play.silence(600)
    play.final("Count.")
    play.silence(600)
    play.happen(ev.ReplyDeltaReceived(1, WORDS), ev.ReplyPieceBegun(1, WORDS), ev.ReplyAudioReceived(1, SECOND))
    if is_complete:
        play.happen(ev.ReplyFinished(1))
    return play


def heard(play: Play) -> str:
    """What the model is told that it said, and the record, after a barge-in."""
    play.happen(ev.ClientCancelled())
    (stopped,) = play.new(do.StopPlayback) + play.new(do.ShowReplyCancelled)
    said = [message.text for message in play.state.history if message.role is Role.ASSISTANT]
    assert said == ([stopped.played] if stopped.played else [])
    return stopped.played


@pytest.mark.parametrize("is_complete", [True, False])
@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ([300], "one two three"),
        ([300, 500], "one two three four five"),
        ([500, 300], "one two three four five"),
        ([0], ""),
        ([990], "one two three four five six seven eight nine"),
    ],
)
def test_a_reply_is_cut_at_the_word_that_was_heard(positions, words, is_complete):
    """The newest position counts; one that goes back is ignored."""
    play = replying(is_complete=is_complete)
    play.happen(*(ev.ClientPlayed(1, ms(position)) for position in positions))

    assert heard(play) == words


def test_a_piece_without_audio_counts_as_played_with_the_one_before_it():
    """The voice makes no sound of "…"."""
    play = replying(is_complete=False)
    play.happen(ev.ReplyPieceBegun(1, "\u2026"), ev.ReplyPieceBegun(1, "eleven"), ev.ReplyAudioReceived(1, SECOND))
    play.happen(ev.ClientPlayed(1, SECOND.samples + 1))

    assert heard(play) == f"{WORDS} \u2026"


def test_a_position_beyond_what_was_sent_counts_as_all_of_it():
    play = replying(is_complete=False)
    play.happen(ev.ClientPlayed(1, 10**12))

    assert play.state.reply.played == SECOND.samples
    assert heard(play) == WORDS


def test_a_position_of_another_turn_is_ignored():
    play = replying(is_complete=False)
    play.happen(ev.ClientPlayed(2, 400), ev.ClientPlayed(0, 400))

    assert play.state.reply.played is None


def test_without_a_position_the_length_of_the_audio_counts():
    play = replying(is_complete=True)
    play.silence(420)

    assert heard(play) == "one two three four"


def test_a_reply_that_the_client_has_played_is_over():
    play = replying(is_complete=True)
    assert isinstance(play.state.phase, Replying)

    play.happen(ev.ClientPlayed(1, SECOND.samples))

    assert isinstance(play.state.phase, Idle)


def test_a_client_that_reports_that_it_is_behind_is_waited_for():
    play = replying(is_complete=True)
    (timer,) = play.new(do.StartTimer)
    play.happen(ev.ClientPlayed(1, ms(400)))

    play.happen(timer.event)

    (again,) = play.new(do.StartTimer)
    assert again == do.StartTimer(600, ev.PlaybackFinished(1, 0, ms(400)))
    play.happen(again.event)
    assert isinstance(play.state.phase, Idle)


def test_a_client_that_is_away_is_waited_for_and_no_timer_from_before_counts():
    play = replying(is_complete=True)
    (timer,) = play.new(do.StartTimer)
    play.happen(ev.ClientPlayed(1, ms(400)), ev.ClientDetached(), timer.event)
    assert isinstance(play.state.phase, Replying)

    play.happen(ev.ClientReturned())
    assert play.new(do.StartTimer) == [do.StartTimer(600, ev.PlaybackFinished(1, 1, ms(400)))]

    play.happen(timer.event)
    assert isinstance(play.state.phase, Replying)


def test_a_drop_in_the_middle_of_speech_ends_no_utterance():
    """The timer from before the drop is void; the one from after it looks for audio behind the last sample."""
    play = Play()
    play.speech(600)
    (timer,) = play.every(do.StartTimer)
    play.happen(ev.ClientDetached(), ev.AudioStalled(1, play.state.audio_end))
    play.happen(ev.ClientReturned())
    (again,) = play.new(do.StartTimer)
    play.happen(timer.event, ev.AudioStalled(1, play.state.audio_end))

    assert not play.every(do.CloseUtterance)
    play.happen(again.event)
    assert play.every(do.CloseUtterance)


def test_a_client_that_may_come_back_is_not_taken_for_silent_before_its_time():
    """The server learns of a dead connection last: until then no audio comes, and the utterance goes on."""
    play = Play(without_stalls(Play().state, 30.0))
    play.speech(600)

    assert [timer.ms for timer in play.every(do.StartTimer)] == [30_000]
