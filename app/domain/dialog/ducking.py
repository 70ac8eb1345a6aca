"""Ducking: a reply is played quietly while it is not known whether the user's speech interrupts it."""

from dataclasses import replace

from app.domain.dialog import effects as do
from app.domain.dialog.chain import Transition
from app.domain.dialog.state import DialogState, UserSpeaking
from app.domain.interruption_mode import InterruptionMode


def duck_reply(state: DialogState) -> Transition:
    """Make the reply quieter where the user speaks over its sound; once."""
    reply = state.reply
    is_spoken_over = isinstance(state.phase, UserSpeaking) and reply is not None and reply.released
    if not is_spoken_over or state.rules.interruptions is InterruptionMode.OFF:
        return state, ()
    assert reply is not None
    if not reply.audio_sent or reply.is_ducked or reply.paused_at is not None:
        return state, ()
    return replace(state, reply=replace(reply, is_ducked=True)), (do.DuckReply(reply.turn),)


def restore_reply(state: DialogState) -> Transition:
    """Play it at its usual level again."""
    reply = state.reply
    if reply is None or not reply.is_ducked:
        return state, ()
    return replace(state, reply=replace(reply, is_ducked=False)), (do.RestoreReply(reply.turn),)
