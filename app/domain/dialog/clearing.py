"""The client takes back what was said in the turn so far."""

from dataclasses import replace
from functools import partial

from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.finals import close_utterance, show_final
from app.domain.dialog.reply import cancel_reply
from app.domain.dialog.state import DialogState, Finalizing, UserSpeaking, Utterance
from app.domain.dialog.turn import settle_phase
from app.domain.dialog.turn_events import turn_resumed
from app.domain.transcript import Hypothesis


def discard_turn(state: DialogState) -> Transition:
    """Take back what was said in this turn: its utterances end without words, and nothing of it is answered.

    A reply that is being played goes on; the next speech belongs to the same turn number.
    """
    if not isinstance(state.phase, UserSpeaking | Finalizing):
        return state, ()
    discarded: Transition = turn_resumed(replace(state, turn_transcript=(), turn_speech=0))
    if state.reply and not state.reply.released:
        discarded = chain(discarded, lambda s: cancel_reply(s, "cancelled"))
    if isinstance(state.phase, UserSpeaking):
        utterance = replace(state.phase.utterance, final_started=True)  # none is to be started
        discarded = chain(discarded, lambda s: close_utterance(s, replace(utterance, final=None), Finalizing()))
    for utterance in discarded[0].pending_finals:
        discarded = chain(discarded, partial(show_final, utterance=_without_words(utterance)))
    return chain(discarded, lambda s: (settle_phase(s), ()))


def _without_words(utterance: Utterance) -> Utterance:
    return replace(utterance, final=Hypothesis("", is_final=True), route=None)
