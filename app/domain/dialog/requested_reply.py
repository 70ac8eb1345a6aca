"""Replies that the client asks for, and the history that it writes: by itself, no turn of the user is needed.

A reply that is asked for while the words of the turn are not final yet waits for them, and answers them.
"""

from dataclasses import replace

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition
from app.domain.dialog.conversation import Message, Role, prompt
from app.domain.dialog.reply import cancel_reply
from app.domain.dialog.state import DialogState, Finalizing, Reply, Replying, UserSpeaking
from app.domain.dialog.turn_events import turn_ended
from app.domain.errors import ClientError, ClientFault
from app.domain.transcript import join

REPLY_ACTIVE = "a reply is being generated: cancel it, or wait until it is complete"


def must_wait(state: DialogState) -> bool:
    """Whether words of this turn are not final yet."""
    return bool(state.pending_finals)


def request_reply(state: DialogState, request: ev.ClientRequestedReply) -> Transition:
    """Reply to the history, and to what was said in this turn; refused while another reply is being generated."""
    reply = state.reply
    if state.requested or (reply and reply.released and not reply.finished):
        error = ClientError(ClientFault.SAY_REFUSED, REPLY_ACTIVE)
        return state, (do.ShowError(error, request.request),)
    asked = replace(state, requested=request, reply=None if reply and reply.finished else reply)
    if not must_wait(asked):
        return answer_request(asked)
    phase = replace(asked.phase, turn_over=True) if isinstance(asked.phase, Finalizing) else asked.phase
    return replace(asked, phase=phase), ()


def answer_request(state: DialogState) -> Transition:
    """Begin the reply that was asked for; what was said in this turn joins the history in front of it."""
    request = state.requested
    assert request is not None
    state, dropped = cancel_reply(replace(state, requested=None), "cancelled")  # an eager one at most
    text = join(text for _, text in state.turn_transcript)
    is_turn = bool(text) or isinstance(state.phase, Finalizing)
    state, over = turn_ended(state, text) if is_turn else (state, ())
    history = (*state.history, Message(Role.USER, text)) if text else state.history
    rules, number = state.rules, state.reply_count + 1
    conversation = prompt(
        rules.instructions if request.instructions is None else request.instructions,
        history,
        max_characters=rules.prompt_characters,
        max_tokens=rules.prompt_tokens,
    )
    speak = rules.speak if request.speak is None else request.speak
    begun = replace(
        state,
        phase=state.phase if isinstance(state.phase, UserSpeaking) else Replying(),
        reply=Reply(number, state.turn, released=True, user_text=text),
        reply_count=number,
        history=history,
        turn=state.turn + 1,
        turn_transcript=(),
        turn_speech=0,
    )
    return begun, (
        *dropped,
        *over,
        do.StartReply(number, conversation, speak, rules.profile),
        do.ShowReplyStart(state.turn, text, request.request),
        do.ReleaseReply(number),
    )


def add_message(state: DialogState, message: Message) -> Transition:
    """Put a message behind the history; a user's is recorded as their words."""
    recorded = (do.RecordUserText(state.turn, message.text),) if message.role is Role.USER else ()
    return replace(state, history=(*state.history, message)), recorded
