"""How a reply begins, is heard, and ends."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias, assert_never

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role, prompt
from app.domain.dialog.state import DialogState, Idle, Reply, Replying, UserSpeaking

Transition: TypeAlias = tuple[DialogState, tuple[do.Effect, ...]]


def chain(done: Transition, what: Callable[[DialogState], Transition]) -> Transition:
    """One step after another, as one."""
    state, effects = done
    state, more = what(state)
    return state, (*effects, *more)


def begin_reply(state: DialogState, said: str) -> Transition:
    """Begin to answer; nobody hears of it before release_reply()."""
    history = (*state.history, Message(Role.USER, said))
    number = state.reply_count + 1
    conversation = prompt(state.rules.instructions, history, max_characters=state.rules.prompt_characters)
    begun = replace(state, reply_count=number, reply=Reply(number, state.turn, heard=said))
    return begun, (do.StartReply(number, conversation, state.rules.speak),)


def release_reply(state: DialogState) -> Transition:
    """The turn is over: the reply may be seen and heard."""
    reply = state.reply
    assert reply is not None
    released = replace(
        state,
        phase=Replying(),
        reply=replace(reply, released=True),
        history=(*state.history, Message(Role.USER, reply.heard)),
        turn=state.turn + 1,
        turn_transcript=(),
    )
    return released, (do.ShowReplyStart(reply.turn, reply.heard), do.ReleaseReply(reply.number))


def start_speaking_text(state: DialogState, text: str) -> Transition:
    """Speak words of the client's choice, unless the user is speaking."""
    if not isinstance(state.phase, Idle | Replying):
        return state, ()
    state, effects = cancel_reply(state, "cancelled")
    number = state.reply_count + 1
    reply = Reply(number, state.turn, released=True)
    saying = replace(state, phase=Replying(), reply_count=number, reply=reply, turn=state.turn + 1)
    return saying, (
        *effects,
        do.StartSpeakingText(number, text),
        do.ShowReplyStart(reply.turn, ""),
        do.ReleaseReply(number),
    )


def accept_reply_event(
    state: DialogState, event: ev.ReplyDeltaReceived | ev.ReplyAudioReceived | ev.ReplyFinished | ev.ReplyFailed
) -> Transition:
    """One more piece of the reply."""
    reply = state.reply
    if reply is None or reply.number != event.reply:
        return state, ()  # an echo of a reply that is over
    match event:
        case ev.ReplyDeltaReceived(_, text):
            heard = replace(reply, text=reply.text + text)
            return replace(state, reply=heard), (do.ShowReplyDelta(reply.turn, text),)
        case ev.ReplyAudioReceived(_, chunk):
            began = state.audio_end if reply.spoken == 0 else reply.spoken_from
            heard = replace(reply, spoken=reply.spoken + chunk.samples, spoken_from=began)
            return replace(state, reply=heard), (do.PlayAudio(reply.turn, chunk),)
        case ev.ReplyFinished():
            left = max(0, reply.spoken - (state.audio_end - reply.spoken_from)) * 1000 // SAMPLE_RATE
            answered = replace(state, reply=replace(reply, finished=True), history=_remember(state, reply))
            return answered, (
                do.ShowReply(reply.turn, reply.text.strip()),
                do.StartTimer(left, ev.PlaybackFinished(reply.number)),
            )
        case ev.ReplyFailed(_, error):
            if not reply.released:  # the end of the turn will ask once more
                return replace(state, reply=None), (do.CancelReply(reply.number),)
            failed = chain((state, (do.ShowError(error),)), lambda s: cancel_reply(s, "failed"))
            return chain(failed, _let_go)
        case _:
            assert_never(event)


def cancel_reply(state: DialogState, reason: do.CancelReason | None) -> Transition:
    """Stop the reply, if there is one; without a reason the client hears nothing of it."""
    reply = state.reply
    if reply is None:
        return state, ()
    shown = (do.ShowReplyCancelled(reply.turn, reason),) if reason and reply.released else ()
    history = state.history if reply.finished else _remember(state, reply)
    return replace(state, reply=None, history=history), (do.CancelReply(reply.number), *shown)


def _remember(state: DialogState, reply: Reply) -> tuple[Message, ...]:
    text = reply.text.strip()
    return (*state.history, Message(Role.ASSISTANT, text)) if text else state.history


def _let_go(state: DialogState) -> Transition:
    """A reply that failed leaves the state to the user, and does not try again by itself."""
    if isinstance(state.phase, UserSpeaking) or state.pending_finals:
        return state, ()
    return replace(state, phase=Idle(), turn_transcript=()), ()
