"""Replies that the client asks for, and the history that it writes: by itself, no turn of the user is needed.

A reply that is asked for while the words of the turn are not final yet waits for them, and answers them.
"""

from dataclasses import replace

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.conversation import Message, Role, prompt
from app.domain.dialog.profile import with_tools
from app.domain.dialog.reply import cancel_reply
from app.domain.dialog.state import DialogState, Finalizing, Reply, Replying, UserSpeaking
from app.domain.dialog.turn_events import turn_ended
from app.domain.errors import ClientError, ClientFault
from app.domain.transcript import join

REPLY_ACTIVE = "a reply is being generated: cancel it, or wait until it is complete"


def request_reply(state: DialogState, request: ev.ClientRequestedReply) -> Transition:
    """Reply to the history, and to what was said in this turn; refused while another reply is being generated."""
    reply = state.reply
    if state.requested or (reply and reply.released and not reply.finished):
        error = ClientError(ClientFault.SAY_REFUSED, REPLY_ACTIVE)
        return state, (do.ShowError(error, request.request),)
    asked = replace(state, reply=None if reply and reply.finished else reply)
    if not request.is_kept:
        return _begin(asked, request, state.history, "")
    if not state.pending_finals:
        return answer_request(replace(asked, requested=request))
    phase = replace(asked.phase, turn_over=True) if isinstance(asked.phase, Finalizing) else asked.phase
    return replace(asked, requested=request, phase=phase), ()


def answer_request(state: DialogState) -> Transition:
    """Begin the reply that was asked for; what was said in this turn joins the history in front of it."""
    request = state.requested
    assert request is not None
    text = join(text for _, text in state.turn_transcript)
    is_turn = bool(text) or isinstance(state.phase, Finalizing)
    over: Transition = turn_ended(state, text) if is_turn else (state, ())
    history = (*state.history, Message(Role.USER, text)) if text else state.history
    taken = chain(over, lambda s: (replace(s, requested=None, turn_transcript=(), turn_speech=0), ()))
    return chain(taken, lambda s: _begin(s, request, history, text))


def _begin(
    state: DialogState, request: ev.ClientRequestedReply, history: tuple[Message, ...], user_text: str
) -> Transition:
    state, dropped = cancel_reply(state, "cancelled")  # an eager one at most
    rules, number = state.rules, state.reply_count + 1
    conversation = prompt(
        rules.instructions if request.instructions is None else request.instructions,
        history if request.conversation is None else request.conversation,
        max_characters=rules.prompt_characters,
        max_tokens=rules.prompt_tokens,
    )
    tools = rules.client_tools if request.tools is None else request.tools
    speak = rules.speak if request.speak is None else request.speak
    goes_on = isinstance(state.phase, UserSpeaking) or state.turn_transcript or state.pending_finals
    begun = replace(
        state,
        phase=state.phase if goes_on else Replying(),
        reply=Reply(number, state.turn, released=True, user_text=user_text, is_kept=request.is_kept),
        reply_count=number,
        history=history,
        turn=state.turn + 1,
    )
    return begun, (
        *dropped,
        do.StartReply(number, conversation, speak, with_tools(rules.profile, tools)),
        do.ShowReplyStart(state.turn, user_text, request.request),
        do.ReleaseReply(number),
    )


def add_message(state: DialogState, message: Message) -> Transition:
    """Put a message behind the history; a user's is recorded as their words."""
    recorded = (do.RecordUserText(state.turn, message.text),) if message.role is Role.USER else ()
    return replace(state, history=(*state.history, message)), recorded
