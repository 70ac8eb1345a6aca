"""Who has the state.

One function, step(), takes the state and an event and gives back the next state
and what to do about it. It performs nothing and awaits nothing.

    Idle --speech--> UserSpeaking --endpoint--> Finalizing --turn over--> Replying
      ^                  ^   ^                     |   |                  |   |
      |                  |   '----- goes on -------'   |                  |   |
      |                  '------------ speaks over the reply -------------'   |
      '-------------------------- nothing was said, or reply played ----------'

The user may speak over a reply: it goes on until the words show that they are no
mere "mm-hm". A client that leaves passes through Leaving, where its last words are
finished, to Closed.
"""

from dataclasses import replace
from typing import assert_never

from app.domain.audio import SAMPLE_RATE, ScoredChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.endpointing import Boundary, endpoint_silence_ms, is_end_of_turn
from app.domain.dialog.interruption import is_backchannel
from app.domain.dialog.reply import (
    Transition,
    accept_reply_event,
    begin_reply,
    cancel_reply,
    chain,
    release_reply,
    start_speaking_text,
)
from app.domain.dialog.state import (
    Closed,
    DialogState,
    Finalizing,
    Idle,
    Leaving,
    Replying,
    UserSpeaking,
    Utterance,
)
from app.domain.residency import Residency
from app.domain.transcript import Hypothesis, join


def transition(state: DialogState, event: ev.Event) -> Transition:
    """The session after one more event, and what it is told to do."""
    match state.phase, event:
        case Closed(), _:
            return state, ()
        case Leaving(), ev.FinalReceived() | ev.FinalFailed() | ev.LeaveTimeoutDue():
            pass
        case Leaving(), _:
            return state, ()
    match event:
        case ev.AudioReceived(scored):
            return _hear(state, scored)
        case ev.DraftReceived() | ev.DraftSkipped():
            return _take_draft(state, event)
        case ev.EndOfTurnScored():
            return _take_judgement(state, event)
        case ev.ComputeIdle(utterance, revision):
            return _speculate(state) if _spoken(state, utterance, revision) else (state, ())
        case ev.FinalReceived():
            return _take_final(state, event)
        case ev.FinalFailed():
            return _lose_final(state, event)
        case ev.ReplyDeltaReceived() | ev.ReplyAudioReceived() | ev.ReplyFinished() | ev.ReplyFailed():
            return accept_reply_event(state, event)
        case ev.PlaybackFinished(reply):
            played = state.reply is not None and state.reply.number == reply
            return (_rest(replace(state, reply=None)), ()) if played else (state, ())
        case ev.ClientConfigured():
            return _configure(state, event)
        case ev.ClientEnded():
            return chain(_endpoint(state), _end_turn)
        case ev.ReplyDue(utterance):
            due = isinstance(state.phase, Finalizing) and utterance == state.utterance_count
            return _end_turn(state) if due else (state, ())
        case ev.AudioStalled(utterance, heard):
            return _check_stall(state, utterance, heard)
        case ev.ClientCancelled():
            return chain(cancel_reply(state, "cancelled"), lambda s: (_rest(s), ()))
        case ev.ClientRequestedSpeech(text):
            return start_speaking_text(state, text)
        case ev.ClientErrorDetected(error):
            return state, (do.ShowError(error),)
        case ev.ClientLeft():
            return _leave(state)
        case ev.LeaveTimeoutDue():
            return (replace(state, phase=Closed()), ()) if isinstance(state.phase, Leaving) else (state, ())
        case _:
            assert_never(event)


def _configure(state: DialogState, event: ev.ClientConfigured) -> Transition:
    rules = state.rules
    wanted = replace(
        rules,
        language=rules.language if event.language is None else event.language or None,
        reply=rules.reply if event.reply is None else event.reply,
        speak=rules.speak if event.speak is None else event.speak,
        residency=event.residency or rules.residency,
        deadline_ms=rules.deadline_ms if event.deadline_ms is None else event.deadline_ms or None,
    )
    kept: tuple[do.Effect, ...] = ()
    if wanted.residency is Residency.ON_PREM_ONLY and rules.residency is not Residency.ON_PREM_ONLY:
        open_ones = (state.phase.utterance,) if isinstance(state.phase, UserSpeaking) else ()
        kept = tuple(do.RestrictToOnPrem(utterance.number) for utterance in (*state.pending_finals, *open_ones))
    return replace(state, rules=wanted), kept


# -- audio ----------------------------------------------------------------------


def _hear(state: DialogState, scored: ScoredChunk) -> Transition:
    words, done = "", None
    if isinstance(state.phase, UserSpeaking):
        utterance = state.phase.utterance
        words, done = utterance.final.text if utterance.final else utterance.agreement.text, utterance.eot_probability
    wait = endpoint_silence_ms(words, done, state.endpointer.rules)
    endpointer, boundary = state.endpointer.update(scored, end_after_ms=wait)
    chunk = scored.chunk
    state = replace(state, endpointer=endpointer, audio_end=chunk.end)
    if not isinstance(state.phase, UserSpeaking):
        state = replace(state, pre_roll=state.pre_roll.push(chunk))
        return _open(state) if boundary is Boundary.START else _wait(state)

    heard = replace(state.phase.utterance, end=chunk.end, speech_end=endpointer.speech_end)
    fed: Transition = (
        replace(state, phase=UserSpeaking(heard)),
        (do.FeedUtterance(heard.number, chunk),),
    )
    match boundary:
        case Boundary.PAUSE:
            return chain(fed, _pause)
        case Boundary.RESUME:
            return chain(chain(fed, _resume), _ask_draft)
        case Boundary.END:
            return chain(fed, _endpoint)
        case Boundary.SPLIT:
            return chain(chain(fed, _endpoint), lambda s: _open(replace(s, endpointer=endpointer)))
        case _ if endpointer.paused:
            due = ms(state.rules.speculate_after_ms)
            return chain(fed, _speculate) if endpointer.run - chunk.samples < due <= endpointer.run else fed
        case _:
            return chain(fed, _ask_draft)


def _open(state: DialogState) -> Transition:
    """Speech began: a new utterance, from the pre-roll on."""
    state, effects = cancel_reply(state, None) if state.reply and not state.reply.released else (state, ())
    number = state.utterance_count + 1
    chunks = state.pre_roll.chunks
    utterance = Utterance(
        number,
        start=chunks[0].start if chunks else state.audio_end,
        speech_start=state.endpointer.began,
        end=state.audio_end,
        speech_end=state.endpointer.speech_end,
    )
    opened = replace(state, phase=UserSpeaking(utterance), utterance_count=number, pre_roll=state.pre_roll.clear())
    return opened, (
        *effects,
        do.OpenUtterance(number, utterance.start, state.rules.language, state.rules.residency, state.rules.deadline_ms),
        *(do.FeedUtterance(number, chunk) for chunk in chunks),
        do.StartTimer(state.rules.stall_after_ms, ev.AudioStalled(number, state.audio_end)),
    )


def _wait(state: DialogState) -> Transition:
    """Silence after the user spoke; enough of it ends the turn."""
    silence = state.audio_end - state.endpointer.speech_end
    if isinstance(state.phase, Finalizing) and silence >= ms(state.phase.reply_after_ms):
        return _end_turn(state)
    return state, ()


def _check_stall(state: DialogState, number: int, heard: int) -> Transition:
    if not isinstance(state.phase, UserSpeaking) or state.phase.utterance.number != number:
        return state, ()
    if state.audio_end == heard:
        return _endpoint(state)
    return state, (do.StartTimer(state.rules.stall_after_ms, ev.AudioStalled(number, state.audio_end)),)


# -- drafts -----------------------------------------------------------------------


def _ask_draft(state: DialogState) -> Transition:
    assert isinstance(state.phase, UserSpeaking)
    utterance = state.phase.utterance
    if utterance.drafting or state.endpointer.run:  # in silence there are no new words, and perhaps a final to make
        return state, ()
    if utterance.drafted is None:
        due = utterance.speech_start + ms(state.rules.first_draft_after_ms)
    else:
        due = utterance.drafted + ms(state.rules.draft_every_ms)
    if utterance.end < due:
        return state, ()
    asked = replace(utterance, drafting=True, drafted=utterance.end)
    return replace(state, phase=UserSpeaking(asked)), (
        do.RequestDraft(utterance.number, utterance.agreement.stable_text),
    )


def _take_draft(state: DialogState, event: ev.DraftReceived | ev.DraftSkipped) -> Transition:
    if not isinstance(state.phase, UserSpeaking) or state.phase.utterance.number != event.utterance:
        return state, ()
    utterance = replace(state.phase.utterance, drafting=False)
    if isinstance(event, ev.DraftSkipped):
        return replace(state, phase=UserSpeaking(utterance)), ()
    agreement = utterance.agreement.update(event.hypothesis.text)
    utterance = replace(utterance, agreement=agreement, drafts=utterance.drafts + 1)
    state = replace(state, phase=UserSpeaking(utterance))
    shown = do.ShowDraft(state.turn, utterance.number, agreement.text, agreement.stable_text)
    drafted: Transition = (state, (shown,) if agreement.text else ())
    if state.reply and not is_backchannel(agreement.text):
        drafted = chain(drafted, lambda s: cancel_reply(s, "barge_in"))
    return drafted


# -- finals -----------------------------------------------------------------------


def _pause(state: DialogState) -> Transition:
    """The user is silent: are they done?"""
    assert isinstance(state.phase, UserSpeaking)
    utterance = state.phase.utterance
    if state.rules.score_end_of_turn:
        return state, (do.ScoreEndOfTurn(utterance.number, utterance.revision),)
    return _speculate(state)


def _take_judgement(state: DialogState, event: ev.EndOfTurnScored) -> Transition:
    utterance = _spoken(state, event.utterance, event.revision)
    if utterance is None:
        return state, ()
    judged = replace(state, phase=UserSpeaking(replace(utterance, eot_probability=event.eot_probability)))
    return _speculate(judged) if is_end_of_turn(event.eot_probability, state.endpointer.rules) else (judged, ())


def _speculate(state: DialogState) -> Transition:
    """The user may be done: begin the final on what was heard."""
    assert isinstance(state.phase, UserSpeaking)
    utterance = state.phase.utterance
    if utterance.begun or not state.rules.speculative_finals:
        return state, ()
    return replace(state, phase=UserSpeaking(replace(utterance, begun=True))), (
        do.StartFinal(utterance.number, utterance.revision),
    )


def _resume(state: DialogState) -> Transition:
    """The user goes on: what was judged and begun in the pause is worth nothing."""
    assert isinstance(state.phase, UserSpeaking)
    utterance = state.phase.utterance
    resumed = replace(
        utterance,
        revision=utterance.revision + 1,
        eot_probability=None,
        begun=False,
        final=None,
        wasted=utterance.wasted + utterance.begun,
    )
    dropped = (do.DropFinal(utterance.number, utterance.revision),) if utterance.begun else ()
    return replace(state, phase=UserSpeaking(resumed)), dropped


def _endpoint(state: DialogState) -> Transition:
    """The utterance is over: its final is due."""
    if not isinstance(state.phase, UserSpeaking):
        return state, ()
    utterance = state.phase.utterance
    began = () if utterance.begun else (do.StartFinal(utterance.number, utterance.revision),)
    silence = (state.audio_end - utterance.speech_end) * 1000 // SAMPLE_RATE
    phase = _finalizing(state, utterance)
    closed: Transition = (
        replace(
            state, phase=phase, endpointer=state.endpointer.reset(), pending_finals=(*state.pending_finals, utterance)
        ),
        (
            *began,
            do.CloseUtterance(utterance.number, utterance.revision),
            do.StartTimer(max(0, phase.reply_after_ms - silence), ev.ReplyDue(utterance.number)),
        ),
    )
    return closed if utterance.final is None else chain(closed, lambda s: _show_final(s, utterance))


def _finalizing(state: DialogState, utterance: Utterance) -> Finalizing:
    """How long the end of the turn is waited for, after what was heard in the pause."""
    rules = state.rules
    sure = utterance.eot_probability is not None and utterance.eot_probability >= rules.confident_threshold
    return Finalizing(
        reply_after_ms=min(rules.confident_reply_after_ms, rules.reply_after_ms) if sure else rules.reply_after_ms,
        may_go_on=rules.score_end_of_turn and not is_end_of_turn(utterance.eot_probability, state.endpointer.rules),
    )


def _take_final(state: DialogState, event: ev.FinalReceived) -> Transition:
    if (current := _spoken(state, event.utterance, event.revision)) is not None:
        early = replace(current, final=event.hypothesis, route=event.route)
        return replace(state, phase=UserSpeaking(early)), ()
    utterance = _owed(state, event.utterance, event.revision)
    if utterance is None:
        return state, ()
    return _show_final(state, replace(utterance, final=event.hypothesis, route=event.route))


def _lose_final(state: DialogState, event: ev.FinalFailed) -> Transition:
    """An engine failed: the newest draft is the best text at hand."""
    if (current := _spoken(state, event.utterance, event.revision)) is not None:
        again = replace(current, begun=False)  # the endpoint will ask once more
        return replace(state, phase=UserSpeaking(again)), ()
    utterance = _owed(state, event.utterance, event.revision)
    if utterance is None:
        return state, ()
    best = Hypothesis(utterance.agreement.text, is_final=True)
    state, effects = _show_final(state, replace(utterance, final=best))
    return state, (do.ShowError(event.error), *effects)


def _spoken(state: DialogState, number: int, revision: int) -> Utterance | None:
    """The utterance being spoken, if this is about it; None where it is about a revision that is over."""
    if not isinstance(state.phase, UserSpeaking):
        return None
    utterance = state.phase.utterance
    return utterance if (utterance.number, utterance.revision) == (number, revision) else None


def _owed(state: DialogState, number: int, revision: int) -> Utterance | None:
    """The ended utterance this final is for; None where it is the echo of a revision that is over."""
    return next((u for u in state.pending_finals if (u.number, u.revision) == (number, revision)), None)


def _show_final(state: DialogState, utterance: Utterance) -> Transition:
    assert utterance.final is not None
    text = utterance.final.text.strip()
    shown = do.ShowFinal(
        turn=state.turn,
        utterance=utterance.number,
        hypothesis=replace(utterance.final, text=text),
        start=utterance.start,
        speech_end=utterance.speech_end,
        end=utterance.end,
        route=utterance.route,
        drafts=utterance.drafts,
        wasted=utterance.wasted,
    )
    state = replace(
        state,
        pending_finals=tuple(u for u in state.pending_finals if u.number != utterance.number),
        turn_transcript=tuple(sorted((*state.turn_transcript, (utterance.number, text))))
        if text
        else state.turn_transcript,
    )
    return chain((state, (shown,)), _go_on)


# -- turns ------------------------------------------------------------------------


def _go_on(state: DialogState) -> Transition:
    """A final is there. What now?"""
    if state.pending_finals or isinstance(state.phase, UserSpeaking):
        return state, ()
    if isinstance(state.phase, Leaving):
        return replace(state, phase=Closed()), ()
    said = join(text for _, text in state.turn_transcript)
    if state.reply and state.reply.released:
        if is_backchannel(said):  # it was no interruption
            return _rest(replace(state, turn_transcript=())), ()
        return chain(cancel_reply(state, "barge_in"), _go_on)
    if not said:
        return _rest(state), ()
    if not isinstance(state.phase, Finalizing):
        return state, ()
    if state.phase.over:
        return _answer(state, said)
    if state.rules.eager_replies and state.rules.reply and not state.phase.may_go_on:
        return begin_reply(state, said)
    return state, ()


def _end_turn(state: DialogState) -> Transition:
    """The user's turn is over; it is answered as soon as all its finals are there."""
    if not isinstance(state.phase, Finalizing):
        return state, ()
    return _go_on(replace(state, phase=replace(state.phase, over=True)))


def _answer(state: DialogState, said: str) -> Transition:
    if not state.rules.reply:
        return replace(state, phase=Idle(), turn=state.turn + 1, turn_transcript=()), ()
    if state.reply is None:
        return chain(begin_reply(state, said), release_reply)
    return release_reply(state)


def _rest(state: DialogState) -> DialogState:
    """Back to whoever has the state when the user does not claim it."""
    if isinstance(state.phase, UserSpeaking) or state.pending_finals or state.turn_transcript:
        return state
    return replace(state, phase=Replying() if state.reply and state.reply.released else Idle())


def _leave(state: DialogState) -> Transition:
    """The client is gone: what it said is still written down, and nothing is answered."""
    stopped = chain(_endpoint(state), lambda s: cancel_reply(s, None))

    def depart(state: DialogState) -> Transition:
        if not state.pending_finals:
            return replace(state, phase=Closed()), ()
        patience = do.StartTimer(state.rules.leave_after_ms, ev.LeaveTimeoutDue())
        return replace(state, phase=Leaving()), (patience,)

    return chain(stopped, depart)
