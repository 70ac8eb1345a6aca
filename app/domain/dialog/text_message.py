"""The user's words in text: they join what was said in this turn, end it, and interrupt any reply."""

from dataclasses import replace

from app.domain.dialog import effects as do
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.reply import cancel_reply
from app.domain.dialog.state import DialogState, Finalizing, UserSpeaking
from app.domain.dialog.turn import resolve_turn
from app.domain.dialog.turn_events import turn_resumed


def accept_text(state: DialogState, text: str) -> Transition:
    """Answer the text, together with what was spoken before it in this turn.

    While the user speaks as well, or a final is pending, it waits for that; it is never taken for a backchannel.
    """
    stopped, effects = chain(turn_resumed(state), lambda s: cancel_reply(s, "barge_in"))
    turn = sorted((*state.turn_transcript, (state.utterance_count, text.strip())), key=lambda said: said[0])
    typed = replace(stopped, turn_transcript=tuple(turn))
    recorded: Transition = typed, (*effects, do.RecordUserText(state.turn, text.strip()))
    if isinstance(state.phase, UserSpeaking):
        return recorded
    return chain(recorded, lambda s: resolve_turn(replace(s, phase=Finalizing(turn_over=True))))
