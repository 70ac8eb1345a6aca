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
    floor, effects = done
    floor, more = what(floor)
    return floor, (*effects, *more)


def begin_reply(floor: DialogState, said: str) -> Transition:
    """Begin to answer; nobody hears of it before release_reply()."""
    history = (*floor.history, Message(Role.USER, said))
    number = floor.replies + 1
    conversation = prompt(floor.rules.instructions, history, max_characters=floor.rules.prompt_characters)
    begun = replace(floor, replies=number, reply=Reply(number, floor.turn, heard=said))
    return begun, (do.StartReply(number, conversation, floor.rules.speak),)


def release_reply(floor: DialogState) -> Transition:
    """The turn is over: the reply may be seen and heard."""
    reply = floor.reply
    assert reply is not None
    released = replace(
        floor,
        phase=Replying(),
        reply=replace(reply, released=True),
        history=(*floor.history, Message(Role.USER, reply.heard)),
        turn=floor.turn + 1,
        said=(),
    )
    return released, (do.ShowReplyStart(reply.turn, reply.heard), do.ReleaseReply(reply.number))


def start_speaking_text(floor: DialogState, text: str) -> Transition:
    """Speak words of the client's choice, unless the user is speaking."""
    if not isinstance(floor.phase, Idle | Replying):
        return floor, ()
    floor, effects = cancel_reply(floor, "cancelled")
    number = floor.replies + 1
    reply = Reply(number, floor.turn, released=True)
    saying = replace(floor, phase=Replying(), replies=number, reply=reply, turn=floor.turn + 1)
    return saying, (
        *effects,
        do.StartSpeakingText(number, text),
        do.ShowReplyStart(reply.turn, ""),
        do.ReleaseReply(number),
    )


def accept_reply_event(
    floor: DialogState, event: ev.ReplyDeltaReceived | ev.ReplyAudioReceived | ev.ReplyFinished | ev.ReplyFailed
) -> Transition:
    """One more piece of the reply."""
    reply = floor.reply
    if reply is None or reply.number != event.reply:
        return floor, ()  # an echo of a reply that is over
    match event:
        case ev.ReplyDeltaReceived(_, text):
            heard = replace(reply, text=reply.text + text)
            return replace(floor, reply=heard), (do.ShowReplyDelta(reply.turn, text),)
        case ev.ReplyAudioReceived(_, chunk):
            began = floor.heard if reply.spoken == 0 else reply.spoken_from
            heard = replace(reply, spoken=reply.spoken + chunk.samples, spoken_from=began)
            return replace(floor, reply=heard), (do.PlayAudio(reply.turn, chunk),)
        case ev.ReplyFinished():
            left = max(0, reply.spoken - (floor.heard - reply.spoken_from)) * 1000 // SAMPLE_RATE
            answered = replace(floor, reply=replace(reply, finished=True), history=_remember(floor, reply))
            return answered, (
                do.ShowReply(reply.turn, reply.text.strip()),
                do.WakeAfter(left, ev.PlaybackOver(reply.number)),
            )
        case ev.ReplyFailed(_, error):
            if not reply.released:  # the end of the turn will ask once more
                return replace(floor, reply=None), (do.CancelReply(reply.number),)
            failed = chain((floor, (do.ShowError(error),)), lambda f: cancel_reply(f, "failed"))
            return chain(failed, _let_go)
        case _:
            assert_never(event)


def cancel_reply(floor: DialogState, reason: do.CancelReason | None) -> Transition:
    """Stop the reply, if there is one; without a reason the client hears nothing of it."""
    reply = floor.reply
    if reply is None:
        return floor, ()
    shown = (do.ShowReplyCancelled(reply.turn, reason),) if reason and reply.released else ()
    history = floor.history if reply.finished else _remember(floor, reply)
    return replace(floor, reply=None, history=history), (do.CancelReply(reply.number), *shown)


def _remember(floor: DialogState, reply: Reply) -> tuple[Message, ...]:
    text = reply.text.strip()
    return (*floor.history, Message(Role.ASSISTANT, text)) if text else floor.history


def _let_go(floor: DialogState) -> Transition:
    """A reply that failed leaves the floor to the user, and does not try again by itself."""
    if isinstance(floor.phase, UserSpeaking) or floor.owed:
        return floor, ()
    return replace(floor, phase=Idle(), said=()), ()
