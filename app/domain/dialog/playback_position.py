"""Where the client is in a reply's audio: what it reports, and when the reply is played to its end."""

from dataclasses import replace

from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.ducking import restore_reply
from app.domain.dialog.playback import playback_timer
from app.domain.dialog.state import DialogState
from app.domain.dialog.turn import settle_phase


def accept_position(state: DialogState, event: ev.ClientPlayed) -> Transition:
    """Believe a position that is further than the last, and no further than what was sent; ignore any other."""
    reply = state.reply
    if reply is None or not reply.released or reply.turn != event.turn:
        return state, ()
    played = min(event.samples, reply.audio_sent)
    if reply.played is not None and played <= reply.played:
        return state, ()
    unplayed = tuple(chunk for chunk in reply.sent if chunk.end > played)
    moved = replace(state, reply=replace(reply, played=played, sent=unplayed))
    return _end_playback(moved) if reply.finished and played == reply.audio_sent else (moved, ())


def check_playback(state: DialogState, event: ev.PlaybackFinished) -> Transition:
    """The time that the reply's audio takes is over: so it is played, unless the client reports that it is behind."""
    reply = state.reply
    if state.is_detached or event.returns != state.returns or reply is None or reply.number != event.reply:
        return state, ()
    if reply.paused_at is not None or event.pauses != reply.pauses:
        return state, ()
    is_behind = reply.played is not None and event.played < reply.played < reply.audio_sent
    return (state, (playback_timer(state, reply),)) if is_behind else _end_playback(state)


def _end_playback(state: DialogState) -> Transition:
    return chain(restore_reply(state), lambda s: (settle_phase(replace(s, reply=None)), ()))
