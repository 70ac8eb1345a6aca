"""The end of the user's turn: when it is over, whether it is answered, and which phase follows."""

from dataclasses import replace

from app.domain.dialog import effects as do
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.conversation import Message, Role
from app.domain.dialog.interruption import OverlapVerdict
from app.domain.dialog.overlap import classify_turn, continue_reply
from app.domain.dialog.reply import begin_reply, cancel_reply, release_reply
from app.domain.dialog.requested_reply import answer_request
from app.domain.dialog.state import Closed, DialogState, Finalizing, Idle, Leaving, Replying, TurnRules, UserSpeaking
from app.domain.dialog.turn_events import eager_after_endpoint, turn_ended
from app.domain.transcript import join
from app.domain.turn_mode import TurnMode


def resolve_turn(state: DialogState) -> Transition:
    """What follows when no final is pending any more: barge-in, a reply, or nothing."""
    if state.pending_finals or isinstance(state.phase, UserSpeaking):
        return state, ()
    if isinstance(state.phase, Leaving):
        return replace(state, phase=Closed()), ()
    text = join(text for _, text in state.turn_transcript)
    if state.reply and state.reply.released:
        if classify_turn(state, text) is OverlapVerdict.INTERRUPT:
            return chain(cancel_reply(state, "barge_in"), resolve_turn)
        continued = continue_reply(replace(state, turn_transcript=(), turn_speech=0))
        return chain(continued, lambda s: (settle_phase(s), ()))
    if state.requested:
        return answer_request(state)
    if not text:
        return _turn_without_words(state)
    if not isinstance(state.phase, Finalizing):
        return state, ()
    if state.phase.turn_over:
        return _answer(state, text)
    eager = eager_after_endpoint(state, text)
    if _may_begin_eagerly(state.rules) and not state.phase.may_continue:
        return chain(eager, lambda s: begin_reply(s, text))
    return eager


def begin_in_silence(state: DialogState) -> Transition:
    """Shortly before a silence ends the turn its reply is started where the score said "continues"; once."""
    text = join(text for _, text in state.turn_transcript)
    if not isinstance(state.phase, Finalizing) or not state.phase.may_continue or not text:
        return state, ()
    if state.pending_finals or state.reply or state.requested or not _may_begin_eagerly(state.rules):
        return state, ()
    return begin_reply(replace(state, phase=replace(state.phase, may_continue=False)), text)


def _may_begin_eagerly(rules: TurnRules) -> bool:
    """In a turn that the client ends, a silence says nothing about its end."""
    return rules.eager_replies and rules.answers_turns and rules.turns is not TurnMode.MANUAL


def turn_silence_ms(rules: TurnRules, phase: Finalizing) -> int | None:
    """The silence that ends the turn; None: none does."""
    match rules.turns:
        case TurnMode.MANUAL:
            return None
        case TurnMode.SILENCE:
            return rules.silence_ms
        case TurnMode.AUTO | TurnMode.TRANSCRIBE:
            return phase.reply_after_ms


def end_turn(state: DialogState) -> Transition:
    """The user's turn is over; it is answered as soon as no final is pending.

    Where the client ends turns, it is told of each end, also of one without words.
    """
    if not isinstance(state.phase, Finalizing):
        return _end_without_words(state) if state.rules.turns is TurnMode.MANUAL else (state, ())
    return resolve_turn(replace(state, phase=replace(state.phase, turn_over=True)))


def settle_phase(state: DialogState) -> DialogState:
    """The phase when no user speech is pending: Replying while a released reply plays, else Idle."""
    if isinstance(state.phase, UserSpeaking) or state.pending_finals or state.turn_transcript:
        return state
    return replace(state, phase=Replying() if state.reply and state.reply.released else Idle())


def _turn_without_words(state: DialogState) -> Transition:
    """A turn that the client ended is over all the same, where it wants to be told."""
    settled = settle_phase(state)
    is_ended = isinstance(state.phase, Finalizing) and state.phase.turn_over and state.rules.turns is TurnMode.MANUAL
    return _end_without_words(settled) if is_ended else (settled, ())


def _end_without_words(state: DialogState) -> Transition:
    if not state.rules.events:
        return state, ()
    return chain(turn_ended(state, ""), lambda s: (replace(s, turn=s.turn + 1), ()))


def _answer(state: DialogState, text: str) -> Transition:
    return chain(turn_ended(state, text), lambda s: _reply_to(s, text))


def _reply_to(state: DialogState, text: str) -> Transition:
    if not state.rules.answers_turns:
        state, dropped = cancel_reply(state, "cancelled")  # an eager one, where replies were turned off meanwhile
        over = replace(state, phase=Idle(), turn=state.turn + 1, turn_transcript=(), turn_speech=0)
        if state.rules.keeps_unanswered:
            over = replace(over, history=(*state.history, Message(Role.USER, text)))
        return over, (*dropped, do.EndTurnUnanswered(state.turn))
    if state.reply is None:
        return chain(begin_reply(state, text), release_reply)
    return release_reply(state)
