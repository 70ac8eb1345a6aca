"""Every phase meets every event; the table is written into docs/turn-taking.md."""

import os
from pathlib import Path
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.audio import AudioChunk, ScoredChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.domain.dialog.state import Closed, DialogState, Leaving, TurnRules
from app.domain.errors import ClientError, ClientFault, ProviderDown
from app.domain.tools import ToolCall
from app.domain.transcript import Hypothesis
from app.domain.turn_mode import TurnMode
from tests.unit.playing import LOCAL, Play, assert_turn_events_in_order

DOC = Path(__file__).parents[2] / "docs" / "turn-taking.md"
GONE = ProviderDown("local", "asked to fail")
CHUNK = AudioChunk(bytes(2 * ms(90)), 0)


def session() -> Play:
    return Play(DialogState(TurnRules(language="en", events=True, speakers=True)), may_echo=False)


def idle() -> Play:
    return session()


def speaking() -> Play:
    play = session()
    play.speech(600)
    return play


def finalizing() -> Play:
    play = speaking()
    play.silence(600)
    return play


def replying() -> Play:
    play = finalizing()
    play.final("Hello.")
    play.silence(600)
    return play


def speaking_with_early_final() -> Play:
    play = speaking()
    play.silence(180)
    play.final("Hello.")
    return play


def finalizing_with_eager_reply() -> Play:
    play = finalizing()
    play.final("Hello.")
    return play


def finalizing_until_the_client_ends() -> Play:
    play = session()
    play.happen(ev.ClientConfigured(turns=TurnMode.MANUAL))
    play.speech(600)
    play.silence(600)
    play.final("Hello.")
    play.silence(6000)
    return play


def replying_with_complete_reply() -> Play:
    play = replying()
    play.happen(ev.ReplyAudioReceived(1, CHUNK), ev.ReplyFinished(1))
    return play


def speaking_over_a_ducked_reply() -> Play:
    play = replying()
    play.happen(ev.ReplyAudioReceived(1, AudioChunk(bytes(2 * ms(9000)), 0)))
    play.speech(300)
    return play


def speaking_over_a_paused_reply() -> Play:
    play = replying()
    play.happen(ev.ClientConfigured(may_pause=True), ev.ReplyAudioReceived(1, AudioChunk(bytes(2 * ms(9000)), 0)))
    play.speech(420)
    play.draft("wait")
    return play


def finalizing_over_a_paused_reply() -> Play:
    play = speaking_over_a_paused_reply()
    play.silence(900)
    return play


def speaking_detached() -> Play:
    play = speaking()
    play.happen(ev.ClientDetached())
    return play


def finalizing_detached() -> Play:
    play = finalizing()
    play.happen(ev.ClientDetached())
    return play


def replying_detached() -> Play:
    play = replying_with_complete_reply()
    play.happen(ev.ClientDetached())
    return play


def leaving() -> Play:
    play = speaking()
    play.happen(ev.ClientLeft())
    return play


def closed() -> Play:
    play = session()
    play.happen(ev.ClientLeft())
    return play


SITUATIONS = {
    "Idle": idle,
    "UserSpeaking": speaking,
    "UserSpeaking, in a pause, its final there": speaking_with_early_final,
    "Finalizing": finalizing,
    "Finalizing, an eager reply started": finalizing_with_eager_reply,
    "Finalizing, the client ends turns": finalizing_until_the_client_ends,
    "Replying": replying,
    "Replying, the complete reply still playing": replying_with_complete_reply,
    "UserSpeaking over a ducked reply": speaking_over_a_ducked_reply,
    "UserSpeaking over a paused reply": speaking_over_a_paused_reply,
    "Finalizing over a paused reply": finalizing_over_a_paused_reply,
    "UserSpeaking, detached": speaking_detached,
    "Finalizing, detached": finalizing_detached,
    "Replying, the complete reply still playing, detached": replying_detached,
    "Leaving": leaving,
    "Closed": closed,
}
EVENTS = {
    "AudioReceived (speech)": lambda p: ev.AudioReceived(ScoredChunk(AudioChunk(CHUNK.pcm, p.state.audio_end), 1.0)),
    "AudioReceived (silence)": lambda p: ev.AudioReceived(ScoredChunk(AudioChunk(CHUNK.pcm, p.state.audio_end), 0.0)),
    "DraftReceived": lambda p: ev.DraftReceived(p.state.utterance_count, Hypothesis("hello there")),
    "DraftSkipped": lambda p: ev.DraftSkipped(p.state.utterance_count),
    "EndOfTurnScored": lambda p: ev.EndOfTurnScored(p.state.utterance_count, 0, 0.9),
    "ComputeIdle": lambda p: ev.ComputeIdle(p.state.utterance_count, 0),
    "FinalReceived": lambda p: ev.FinalReceived(p.state.utterance_count, 0, Hypothesis("Hello.", is_final=True), LOCAL),
    "FinalReceived (no words)": lambda p: ev.FinalReceived(
        p.state.utterance_count, 0, Hypothesis("", is_final=True), LOCAL
    ),
    "SpeakerEmbedded": lambda p: ev.SpeakerEmbedded(p.state.utterance_count, 0, (1.0, 0.0)),
    "FinalFailed": lambda p: ev.FinalFailed(p.state.utterance_count, 0, GONE),
    "ReplyDeltaReceived": lambda p: ev.ReplyDeltaReceived(p.state.reply_count, "Hi."),
    "ReplyToolCalled": lambda p: ev.ReplyToolCalled(p.state.reply_count, ToolCall("1", "weather", "{}", "Sunny.")),
    "ReplyToolRequested": lambda p: ev.ReplyToolRequested(p.state.reply_count, ToolCall("1", "dial", "{}")),
    "ReplyPieceBegun": lambda p: ev.ReplyPieceBegun(p.state.reply_count, "Hi."),
    "ReplyAudioReceived": lambda p: ev.ReplyAudioReceived(p.state.reply_count, CHUNK),
    "ReplySpeechRefused": lambda p: ev.ReplySpeechRefused(p.state.reply_count, GONE),
    "ReplyFinished": lambda p: ev.ReplyFinished(p.state.reply_count),
    "ReplyFailed": lambda p: ev.ReplyFailed(p.state.reply_count, GONE),
    "ClientConfigured": lambda _: ev.ClientConfigured(language="de"),
    "ClientConfigured (manual turns)": lambda _: ev.ClientConfigured(turns=TurnMode.MANUAL),
    "ClientConfigured (pauses)": lambda _: ev.ClientConfigured(may_pause=True),
    "ClientEnded": lambda _: ev.ClientEnded(),
    "ClientCleared": lambda _: ev.ClientCleared(),
    "ClientMarked": lambda _: ev.ClientMarked(1),
    "ClientCancelled": lambda _: ev.ClientCancelled(),
    "ClientRequestedSpeech": lambda _: ev.ClientRequestedSpeech("Welcome."),
    "ClientSentText": lambda _: ev.ClientSentText("What is the time?"),
    "ClientRequestedReply": lambda _: ev.ClientRequestedReply("r1"),
    "ClientAddedMessage": lambda _: ev.ClientAddedMessage(Message(Role.USER, "Hello.")),
    "ClientReplacedHistory": lambda _: ev.ClientReplacedHistory((Message(Role.USER, "Hello."),)),
    "HistoryExtended": lambda _: ev.HistoryExtended((Message(Role.USER, "Hello."),)),
    "HistoryLoaded": lambda _: ev.HistoryLoaded("c1", (Message(Role.USER, "Hello."),)),
    "ClientErrorDetected": lambda _: ev.ClientErrorDetected(ClientError(ClientFault.BAD_PACKET, "too short")),
    "ClientLeft": lambda _: ev.ClientLeft(),
    "ClientPlayed (a part)": lambda p: ev.ClientPlayed(p.state.turn - 1, 100),
    "ClientPlayed (more than was sent)": lambda p: ev.ClientPlayed(p.state.turn - 1, 10**9),
    "ClientPlayed (of no reply)": lambda p: ev.ClientPlayed(99, 100),
    "ClientDetached": lambda _: ev.ClientDetached(),
    "ClientReturned": lambda _: ev.ClientReturned(),
    "AudioStalled": lambda p: ev.AudioStalled(p.state.utterance_count, p.state.audio_end),
    "PlaybackFinished": lambda p: ev.PlaybackFinished(p.state.reply_count),
    "LeaveTimeoutDue": lambda _: ev.LeaveTimeoutDue(),
}


def table() -> str:
    """Phase x event -> next phase and effects, as Markdown."""
    rows = ["| phase | event | next phase | effects |", "| --- | --- | --- | --- |"]
    for situation, make in SITUATIONS.items():
        for name, event in EVENTS.items():
            play = make()
            before = type(play.state.phase).__name__
            effects = play.happen(event(play))
            after = type(play.state.phase).__name__
            names = ", ".join(dict.fromkeys(type(effect).__name__ for effect in effects))
            rows.append(f"| {situation} | {name} | {'' if after == before else after} | {names} |")
    return "\n".join(rows)


def test_the_documented_transition_table_is_up_to_date():
    """No combination raises; docs/turn-taking.md shows exactly this (PARLEY_WRITE_DOCS=1 writes it)."""
    head, mark, _ = DOC.read_text().partition("<!-- table -->\n")
    now = f"{head}{mark}\n{table()}\n"
    if os.environ.get("PARLEY_WRITE_DOCS"):
        DOC.write_text(now)

    assert DOC.read_text() == now


def test_every_event_has_a_row_in_the_transition_table():
    """A new event cannot be forgotten here."""
    assert {type(make(Play())) for make in EVENTS.values()} == set(get_args(ev.Event))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=60))
def test_under_random_events_no_final_is_lost_or_doubled(names: list[str]):
    """Each utterance gets its audio without a gap, at most one final, and a pending final is shown or awaited."""
    play = session()

    for name in names:
        play.happen(EVENTS[name](play))

    finals = [final.utterance for final in play.every(do.ShowFinal)]
    opened = [utterance.utterance for utterance in play.every(do.OpenUtterance)]
    closed_ones = [utterance.utterance for utterance in play.every(do.CloseUtterance)]
    assert len(finals) == len(set(finals))
    assert len(closed_ones) == len(set(closed_ones))
    assert set(finals) <= set(closed_ones) <= set(opened)
    if not isinstance(play.state.phase, Closed | Leaving):
        assert set(closed_ones) == set(finals) | {u.number for u in play.state.pending_finals}
    for number in opened:
        fed = [f.chunk for f in play.every(do.FeedUtterance) if f.utterance == number]
        assert [c.end for c in fed[:-1]] == [c.start for c in fed[1:]]
    replies = [reply.reply for reply in play.every(do.ReleaseReply)]
    assert len(replies) == len(set(replies))
    assert_turn_events_in_order(play.effects)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=60), st.booleans())
def test_under_random_events_a_client_that_pauses_gets_every_reply_whole(names: list[str], pauses: bool):
    """What it plays has no gap and nothing twice; while a reply is paused nothing of it comes; it ends once."""
    play = replying()
    play.happen(ev.ClientConfigured(may_pause=pauses), ev.ReplyAudioReceived(1, CHUNK))

    for name in names:
        play.happen(EVENTS[name](play))

    received: dict[int, int] = {}
    """By turn, samples without a gap."""
    paused: set[int] = set()
    ducked: set[int] = set()
    ended: set[int] = set()
    for effect in play.effects:
        match effect:
            case do.PlayAudio(turn, chunk):
                assert turn not in paused | ended
                received[turn] = received.get(turn, 0) + chunk.samples
            case do.ShowReplyDelta(turn):
                assert turn not in paused | ended
            case do.DuckReply(turn):
                assert turn not in ducked | paused | ended
                ducked.add(turn)
            case do.RestoreReply(turn):
                ducked.remove(turn)
            case do.PauseReply(turn):
                assert pauses or "ClientConfigured (pauses)" in names
                assert turn not in paused | ended
                paused.add(turn)
            case do.ResumeReply(turn, start):
                paused.remove(turn)
                ducked.discard(turn)
                assert start <= received.get(turn, 0)
                received[turn] = start
            case do.ResendAudio(turn, chunk):
                assert chunk.start == received[turn]
                received[turn] = chunk.end
            case do.ShowReply(turn):
                assert turn not in paused | ended
            case do.ShowReplyCancelled(turn) | do.StopPlayback(turn) | do.RecordReplyCancelled(turn):
                assert turn not in ended
                ended.add(turn)
    if (reply := play.state.reply) is not None and reply.released:
        assert received.get(reply.turn, 0) == reply.audio_sent
        assert (reply.turn in paused) == (reply.paused_at is not None)
