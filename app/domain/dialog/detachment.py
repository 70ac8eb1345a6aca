"""A client whose connection was lost, and that may come back: until then no audio comes, and none is missed."""

from dataclasses import replace

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition
from app.domain.dialog.playback import playback_timer
from app.domain.dialog.state import DialogState, Finalizing, UserSpeaking


def detach(state: DialogState) -> Transition:
    """The timers that run mean nothing from here on; what engines return is still taken."""
    return replace(state, is_detached=True), ()


def reattach(state: DialogState) -> Transition:
    """The client goes on behind its last sample: what waits for audio or for its playback waits anew."""
    if not state.is_detached:
        return state, ()
    back = replace(state, is_detached=False, returns=state.returns + 1)
    timers: list[do.Effect] = []
    if isinstance(back.phase, UserSpeaking | Finalizing):
        timers.append(stall_timer(back))
    if back.reply and back.reply.finished and back.reply.paused_at is None:
        timers.append(playback_timer(back, back.reply))
    return back, tuple(timers)


def without_stalls(state: DialogState, seconds: float) -> DialogState:
    """For a session whose client may come back within so many seconds: less time without audio means nothing.

    The server may not have noticed yet that the connection is dead.
    """
    after_ms = max(state.rules.stall_after_ms, round(1000 * seconds))
    return replace(state, rules=replace(state.rules, stall_after_ms=after_ms))


def stall_timer(state: DialogState) -> do.StartTimer:
    """For the newest utterance: looks whether audio has come behind what is here now."""
    check = ev.AudioStalled(state.utterance_count, state.audio_end, state.returns)
    return do.StartTimer(state.rules.stall_after_ms, check)
