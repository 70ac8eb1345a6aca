"""What a client that wants it (`TurnRules.events`) is told of speech and turns, besides words and replies.

Of each utterance: speech started, then stopped. Of each turn: perhaps eager, then resumed or over. The words of a turn
that is over are those of its last eager event, unless it was resumed.
"""

from dataclasses import replace

from app.domain.dialog import effects as do
from app.domain.dialog.chain import Transition
from app.domain.dialog.endpointing import is_likely_done
from app.domain.dialog.spoken_language import utterance_language
from app.domain.dialog.state import DialogState, Finalizing, UserSpeaking, Utterance
from app.domain.transcript import join
from app.domain.turn_mode import TurnMode


def speech_started(state: DialogState, utterance: Utterance) -> tuple[do.Effect, ...]:
    """This utterance was opened."""
    if not state.rules.events:
        return ()
    return (do.ShowSpeechStarted(state.turn, utterance.number, utterance.start, utterance.speech_start),)


def speech_stopped(state: DialogState, utterance: Utterance) -> tuple[do.Effect, ...]:
    """This utterance has ended."""
    if not state.rules.events:
        return ()
    return (do.ShowSpeechStopped(state.turn, utterance.number, utterance.speech_end, utterance.end),)


def eager_in_pause(state: DialogState) -> Transition:
    """In a pause whose score says that the turn is over: eager as soon as its final is here, before the endpoint."""
    if not state.rules.events or not isinstance(state.phase, UserSpeaking) or not state.endpointer.paused:
        return state, ()
    utterance, final = state.phase.utterance, state.phase.utterance.final
    if final is None or state.pending_finals or (state.reply and state.reply.released):
        return state, ()
    language, score = utterance_language(state, utterance), utterance.eot_probability
    if not is_likely_done(final.text, language, score, state.endpointer.rules):
        return state, ()
    said = sorted((*state.turn_transcript, (utterance.number, final.text.strip())))  # as the final will join them
    return turn_eager(state, join(text for _, text in said), score)


def eager_after_endpoint(state: DialogState, text: str) -> Transition:
    """In the silence after an utterance with these words of the turn, unless the score says that the user continues."""
    if not isinstance(state.phase, Finalizing) or state.phase.may_continue:
        return state, ()
    return turn_eager(state, text, state.phase.eot_probability)


def turn_eager(state: DialogState, text: str, eot_probability: float | None) -> Transition:
    """Once, until speech resumes; where the client ends turns, a silence says nothing about it."""
    if not state.rules.events or state.is_eager or not text or state.rules.turns is TurnMode.MANUAL:
        return state, ()
    return replace(state, is_eager=True), (do.ShowTurnEager(state.turn, text, eot_probability),)


def turn_resumed(state: DialogState) -> Transition:
    """More came behind an eager event: its words are not all."""
    if not state.is_eager:
        return state, ()
    shown = (do.ShowTurnResumed(state.turn),) if state.rules.events else ()
    return replace(state, is_eager=False), shown


def turn_ended(state: DialogState, text: str) -> Transition:
    """The turn is over, with these words."""
    shown = (do.ShowTurnEnd(state.turn, text),) if state.rules.events else ()
    return replace(state, is_eager=False) if state.is_eager else state, shown
