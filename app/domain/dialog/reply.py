"""The life of a reply: started (perhaps eagerly), released at the end of the turn, finished or cancelled."""

from dataclasses import replace
from typing import assert_never, get_args

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.conversation import Message, Role, prompt, reply_messages
from app.domain.dialog.ducking import duck_reply
from app.domain.dialog.playback import playback_timer, played_text
from app.domain.dialog.profile import with_tools
from app.domain.dialog.state import DialogState, Idle, Reply, Replying, SpokenPiece, UserSpeaking
from app.domain.errors import ClientError, ClientFault
from app.domain.tools import shortened

SAY_REFUSED = "the user is speaking, or their words are not final yet: say it again after the next fullSentence"


MAX_KEPT = ms(300_000)
"""Samples of a reply that are kept to be played after a pause; where more of it is unplayed, it cannot go on."""
_HELD = get_args(ev.ReplyEvent)


def begin_reply(state: DialogState, user_text: str) -> Transition:
    """Start to generate a reply; nothing of it is shown or played before release_reply()."""
    history = (*state.history, Message(Role.USER, user_text))
    number = state.reply_count + 1
    rules = state.rules
    conversation = prompt(
        rules.instructions, history, max_characters=rules.prompt_characters, max_tokens=rules.prompt_tokens
    )
    begun = replace(state, reply_count=number, reply=Reply(number, state.turn, user_text=user_text))
    return begun, (do.StartReply(number, conversation, rules.speak, with_tools(rules.profile, rules.client_tools)),)


def release_reply(state: DialogState) -> Transition:
    """The turn is over: the reply may be shown and played."""
    reply = state.reply
    assert reply is not None
    released = replace(
        state,
        phase=Replying(),
        reply=replace(reply, released=True),
        history=(*state.history, Message(Role.USER, reply.user_text)),
        turn=state.turn + 1,
        turn_transcript=(),
        turn_speech=0,
    )
    return released, (do.ShowReplyStart(reply.turn, reply.user_text), do.ReleaseReply(reply.number))


def start_speaking_text(state: DialogState, text: str) -> Transition:
    """Speak text of the client's choice as a reply; refused while the user speaks or a final is pending."""
    if not isinstance(state.phase, Idle | Replying):
        return state, (do.ShowError(ClientError(ClientFault.SAY_REFUSED, SAY_REFUSED)),)
    state, effects = cancel_reply(state, "cancelled")
    number = state.reply_count + 1
    reply = Reply(number, state.turn, released=True)
    speaking = replace(state, phase=Replying(), reply_count=number, reply=reply, turn=state.turn + 1)
    return speaking, (
        *effects,
        do.StartSpeakingText(number, text, state.rules.profile),
        do.ShowReplyStart(reply.turn, ""),
        do.ReleaseReply(number),
    )


def accept_reply_event(
    state: DialogState,
    event: ev.ReplyDeltaReceived
    | ev.ReplyToolCalled
    | ev.ReplyToolRequested
    | ev.ReplyPieceBegun
    | ev.ReplyAudioReceived
    | ev.ReplySpeechRefused
    | ev.ReplyFinished
    | ev.ReplyFailed,
) -> Transition:
    """The next event of the reply; one of an older reply changes nothing."""
    reply = state.reply
    if reply is None or reply.number != event.reply:
        return state, ()
    if reply.paused_at is not None and isinstance(event, _HELD):
        return _hold(state, reply, event)
    match event:
        case ev.ReplyDeltaReceived(_, text):
            grown = replace(reply, text=reply.text + text)
            return replace(state, reply=grown), (do.ShowReplyDelta(reply.turn, text),)
        case ev.ReplyToolCalled(_, call):
            short = shortened(call)
            called = replace(reply, tool_calls=(*reply.tool_calls, short))
            return replace(state, reply=called), (do.RecordToolCall(reply.turn, short),)
        case ev.ReplyToolRequested(_, call):
            return state, (do.RecordToolCall(reply.turn, shortened(call)), do.ShowToolCall(reply.turn, call))
        case ev.ReplyPieceBegun(_, text):
            pieces = (*reply.pieces, SpokenPiece(text, reply.audio_sent))
            return replace(state, reply=replace(reply, pieces=pieces)), ()
        case ev.ReplyAudioReceived(_, chunk):
            began = state.audio_end if reply.audio_sent == 0 else reply.audio_sent_from
            kept = _keep(reply, chunk) if state.rules.may_pause else reply
            grown = replace(kept, audio_sent=reply.audio_sent + chunk.samples, audio_sent_from=began)
            playing: Transition = (
                replace(
                    state,
                    reply=grown,
                    text_only_reported=False,
                    first_voiced_reply=reply.number if state.first_voiced_reply is None else state.first_voiced_reply,
                ),
                (do.PlayAudio(reply.turn, chunk),),
            )
            return chain(playing, duck_reply)
        case ev.ReplySpeechRefused(_, error):
            shown = () if state.text_only_reported else (do.ShowError(error),)
            return replace(state, reply=replace(reply, pieces=()), text_only_reported=True), shown
        case ev.ReplyFinished(usage=usage):
            said = reply_messages(reply.text, reply.tool_calls) if reply.is_kept else ()
            history = (*state.history, *said)
            finished = replace(state, reply=replace(reply, finished=True, message_at=len(history) - 1), history=history)
            return finished, (
                do.ShowReply(reply.turn, reply.text.strip(), usage),
                playback_timer(state, reply),
            )
        case ev.ReplyFailed(_, error):
            if not reply.released:  # the end of the turn will start another
                return replace(state, reply=None), (do.CancelReply(reply.number),)
            failed = chain((state, (do.ShowError(error),)), lambda s: cancel_reply(s, "failed"))
            return chain(failed, abandon_reply)
        case _:
            assert_never(event)


def _keep(reply: Reply, chunk: AudioChunk) -> Reply:
    """The reply with audio that may have to be sent again, unless that is too much."""
    sent = (*reply.sent, AudioChunk(chunk.pcm, reply.audio_sent))
    if not reply.can_resume or sent[-1].end - sent[0].start > MAX_KEPT:
        return replace(reply, sent=(), can_resume=False)
    return replace(reply, sent=sent)


def _hold(state: DialogState, reply: Reply, event: ev.ReplyEvent) -> Transition:
    """Keep the event for when the reply goes on; a reply that grows too long meanwhile is interrupted for good."""
    held = (*reply.held, event)
    waiting = sum(each.chunk.samples for each in held if isinstance(each, ev.ReplyAudioReceived))
    if waiting > MAX_KEPT:
        return cancel_reply(state, "barge_in")
    return replace(state, reply=replace(reply, held=held)), ()


def cancel_reply(state: DialogState, reason: do.CancelReason) -> Transition:
    """Stop the reply, if there is one. What was never released is dropped unseen.

    A reply that was sent completely has been reported as complete: only its playback is interrupted.
    """
    reply = state.reply
    if reply is None:
        return state, ()
    stopped = replace(state, reply=None, history=_interrupted_history(state, reply))
    played = played_text(reply, state.audio_end)
    if reply.finished:
        return stopped, () if reason == "disconnected" else (do.StopPlayback(reply.turn, reason, played),)
    if not reply.released:
        return stopped, (do.CancelReply(reply.number),)
    if reason == "disconnected":
        return stopped, (do.CancelReply(reply.number), do.RecordReplyCancelled(reply.turn, reason, played))
    return stopped, (do.CancelReply(reply.number), do.ShowReplyCancelled(reply.turn, reason, played))


def abandon_reply(state: DialogState) -> Transition:
    """After a released reply failed: drop the turn and return to Idle; it is not retried."""
    if isinstance(state.phase, UserSpeaking) or state.pending_finals:
        return state, ()
    return replace(state, phase=Idle(), turn_transcript=(), turn_speech=0), ()


def _interrupted_history(state: DialogState, reply: Reply) -> tuple[Message, ...]:
    """The history with what the user has got of the reply: the model must not believe that it said the rest."""
    if not reply.is_kept:
        return state.history
    whole, played = reply.text.strip(), played_text(reply, state.audio_end)
    if not reply.finished:
        return (*state.history, *reply_messages(played, reply.tool_calls, is_cut_off=True))
    at, history = reply.message_at, state.history
    if not whole or played == whole or at >= len(history) or history[at].text != whole:  # the client edits it, too
        return history
    return (*history[:at], *reply_messages(played, is_cut_off=True), *history[at + 1 :])
