"""Pausing: a reply that is stopped for an interruption that is not certain, and goes on where nothing came of it.

A client that cannot go on with a reply is never asked to: its reply is cancelled by the first sign of an interruption.
"""

from dataclasses import replace
from functools import partial

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.playback import playback_timer, played_samples
from app.domain.dialog.reply import accept_reply_event
from app.domain.dialog.state import DialogState, Reply


def may_pause(state: DialogState) -> bool:
    """Whether the reply can go on after it was stopped."""
    return state.rules.may_pause and state.reply is not None and state.reply.can_resume


def pause_reply(state: DialogState) -> Transition:
    """Stop the reply's sound; what its engines make meanwhile waits."""
    reply = state.reply
    assert reply is not None
    paused = replace(reply, paused_at=played_samples(reply, state.audio_end), pauses=reply.pauses + 1)
    return replace(state, reply=paused), (do.PauseReply(reply.turn),)


def resume_reply(state: DialogState) -> Transition:
    """Go on where the client stopped, with what was sent and not played, and then with what has come meanwhile."""
    reply = state.reply
    if reply is None or reply.paused_at is None:
        return state, ()
    start = reply.paused_at if reply.played is None else reply.played
    playing = replace(reply, paused_at=None, is_ducked=False, held=(), audio_sent_from=state.audio_end - start)
    resent = tuple(do.ResendAudio(reply.turn, chunk) for chunk in _behind(reply, start))
    timers = (playback_timer(state, playing),) if reply.finished else ()
    resumed: Transition = replace(state, reply=playing), (do.ResumeReply(reply.turn, start), *resent, *timers)
    for event in reply.held:
        resumed = chain(resumed, partial(accept_reply_event, event=event))
    return resumed


def _behind(reply: Reply, start: int) -> tuple[AudioChunk, ...]:
    """The audio that was sent, from this sample on."""
    return tuple(
        chunk if chunk.start >= start else AudioChunk(chunk.pcm[2 * (start - chunk.start) :], start)
        for chunk in reply.sent
        if chunk.end > start
    )
