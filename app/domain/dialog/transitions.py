"""Who has the floor.

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


def transition(floor: DialogState, event: ev.Event) -> Transition:
    """The session after one more event, and what it is told to do."""
    match floor.phase, event:
        case Closed(), _:
            return floor, ()
        case Leaving(), ev.FinalReceived() | ev.FinalFailed() | ev.LeaveTimeoutDue():
            pass
        case Leaving(), _:
            return floor, ()
    match event:
        case ev.AudioReceived(scored):
            return _hear(floor, scored)
        case ev.DraftReceived() | ev.DraftSkipped():
            return _take_draft(floor, event)
        case ev.EndOfTurnScored():
            return _take_judgement(floor, event)
        case ev.ComputeIdle(utterance, revision):
            return _speculate(floor) if _spoken(floor, utterance, revision) else (floor, ())
        case ev.FinalReceived():
            return _take_final(floor, event)
        case ev.FinalFailed():
            return _lose_final(floor, event)
        case ev.ReplyDeltaReceived() | ev.ReplyAudioReceived() | ev.ReplyFinished() | ev.ReplyFailed():
            return accept_reply_event(floor, event)
        case ev.PlaybackOver(reply):
            played = floor.reply is not None and floor.reply.number == reply
            return (_rest(replace(floor, reply=None)), ()) if played else (floor, ())
        case ev.ClientConfigured():
            return _configure(floor, event)
        case ev.ClientEnded():
            return chain(_endpoint(floor), _end_turn)
        case ev.ReplyDue(utterance):
            due = isinstance(floor.phase, Finalizing) and utterance == floor.utterances
            return _end_turn(floor) if due else (floor, ())
        case ev.AudioStalled(utterance, heard):
            return _check_stall(floor, utterance, heard)
        case ev.ClientCancelled():
            return chain(cancel_reply(floor, "cancelled"), lambda f: (_rest(f), ()))
        case ev.ClientRequestedSpeech(text):
            return start_speaking_text(floor, text)
        case ev.ClientErrorDetected(error):
            return floor, (do.ShowError(error),)
        case ev.ClientLeft():
            return _leave(floor)
        case ev.LeaveTimeoutDue():
            return (replace(floor, phase=Closed()), ()) if isinstance(floor.phase, Leaving) else (floor, ())
        case _:
            assert_never(event)


def _configure(floor: DialogState, event: ev.ClientConfigured) -> Transition:
    rules = floor.rules
    wanted = replace(
        rules,
        language=rules.language if event.language is None else event.language or None,
        reply=rules.reply if event.reply is None else event.reply,
        speak=rules.speak if event.speak is None else event.speak,
        allowed=event.allowed or rules.allowed,
        deadline_ms=rules.deadline_ms if event.deadline_ms is None else event.deadline_ms or None,
    )
    kept: tuple[do.Effect, ...] = ()
    if wanted.allowed is Residency.ON_PREM_ONLY and rules.allowed is not Residency.ON_PREM_ONLY:
        open_ones = (floor.phase.utterance,) if isinstance(floor.phase, UserSpeaking) else ()
        kept = tuple(do.RestrictToOnPrem(utterance.number) for utterance in (*floor.owed, *open_ones))
    return replace(floor, rules=wanted), kept


# -- audio ----------------------------------------------------------------------


def _hear(floor: DialogState, scored: ScoredChunk) -> Transition:
    words, done = "", None
    if isinstance(floor.phase, UserSpeaking):
        utterance = floor.phase.utterance
        words, done = utterance.final.text if utterance.final else utterance.agreement.text, utterance.done
    wait = endpoint_silence_ms(words, done, floor.endpointer.rules)
    endpointer, boundary = floor.endpointer.hear(scored, end_after_ms=wait)
    chunk = scored.chunk
    floor = replace(floor, endpointer=endpointer, heard=chunk.end)
    if not isinstance(floor.phase, UserSpeaking):
        floor = replace(floor, pre_roll=floor.pre_roll.hear(chunk))
        return _open(floor) if boundary is Boundary.START else _wait(floor)

    heard = replace(floor.phase.utterance, end=chunk.end, speech_end=endpointer.speech_end)
    fed: Transition = (
        replace(floor, phase=UserSpeaking(heard)),
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
            return chain(chain(fed, _endpoint), lambda f: _open(replace(f, endpointer=endpointer)))
        case _ if endpointer.paused:
            due = ms(floor.rules.speculate_after_ms)
            return chain(fed, _speculate) if endpointer.run - chunk.samples < due <= endpointer.run else fed
        case _:
            return chain(fed, _ask_draft)


def _open(floor: DialogState) -> Transition:
    """Speech began: a new utterance, from the pre-roll on."""
    floor, effects = cancel_reply(floor, None) if floor.reply and not floor.reply.released else (floor, ())
    number = floor.utterances + 1
    chunks = floor.pre_roll.chunks
    utterance = Utterance(
        number,
        start=chunks[0].start if chunks else floor.heard,
        speech_start=floor.endpointer.began,
        end=floor.heard,
        speech_end=floor.endpointer.speech_end,
    )
    opened = replace(floor, phase=UserSpeaking(utterance), utterances=number, pre_roll=floor.pre_roll.clear())
    return opened, (
        *effects,
        do.OpenUtterance(number, utterance.start, floor.rules.language, floor.rules.allowed, floor.rules.deadline_ms),
        *(do.FeedUtterance(number, chunk) for chunk in chunks),
        do.WakeAfter(floor.rules.stall_after_ms, ev.AudioStalled(number, floor.heard)),
    )


def _wait(floor: DialogState) -> Transition:
    """Silence after the user spoke; enough of it ends the turn."""
    silence = floor.heard - floor.endpointer.speech_end
    if isinstance(floor.phase, Finalizing) and silence >= ms(floor.phase.reply_after_ms):
        return _end_turn(floor)
    return floor, ()


def _check_stall(floor: DialogState, number: int, heard: int) -> Transition:
    if not isinstance(floor.phase, UserSpeaking) or floor.phase.utterance.number != number:
        return floor, ()
    if floor.heard == heard:
        return _endpoint(floor)
    return floor, (do.WakeAfter(floor.rules.stall_after_ms, ev.AudioStalled(number, floor.heard)),)


# -- drafts -----------------------------------------------------------------------


def _ask_draft(floor: DialogState) -> Transition:
    assert isinstance(floor.phase, UserSpeaking)
    utterance = floor.phase.utterance
    if utterance.drafting or floor.endpointer.run:  # in silence there are no new words, and perhaps a final to make
        return floor, ()
    if utterance.drafted is None:
        due = utterance.speech_start + ms(floor.rules.first_draft_after_ms)
    else:
        due = utterance.drafted + ms(floor.rules.draft_every_ms)
    if utterance.end < due:
        return floor, ()
    asked = replace(utterance, drafting=True, drafted=utterance.end)
    return replace(floor, phase=UserSpeaking(asked)), (
        do.RequestDraft(utterance.number, utterance.agreement.stable_text),
    )


def _take_draft(floor: DialogState, event: ev.DraftReceived | ev.DraftSkipped) -> Transition:
    if not isinstance(floor.phase, UserSpeaking) or floor.phase.utterance.number != event.utterance:
        return floor, ()
    utterance = replace(floor.phase.utterance, drafting=False)
    if isinstance(event, ev.DraftSkipped):
        return replace(floor, phase=UserSpeaking(utterance)), ()
    agreement = utterance.agreement.hear(event.hypothesis.text)
    utterance = replace(utterance, agreement=agreement, drafts=utterance.drafts + 1)
    floor = replace(floor, phase=UserSpeaking(utterance))
    shown = do.ShowDraft(floor.turn, utterance.number, agreement.text, agreement.stable_text)
    drafted: Transition = (floor, (shown,) if agreement.text else ())
    if floor.reply and not is_backchannel(agreement.text):
        drafted = chain(drafted, lambda f: cancel_reply(f, "barge_in"))
    return drafted


# -- finals -----------------------------------------------------------------------


def _pause(floor: DialogState) -> Transition:
    """The user is silent: are they done?"""
    assert isinstance(floor.phase, UserSpeaking)
    utterance = floor.phase.utterance
    if floor.rules.judge_pauses:
        return floor, (do.ScoreEndOfTurn(utterance.number, utterance.revision),)
    return _speculate(floor)


def _take_judgement(floor: DialogState, event: ev.EndOfTurnScored) -> Transition:
    utterance = _spoken(floor, event.utterance, event.revision)
    if utterance is None:
        return floor, ()
    judged = replace(floor, phase=UserSpeaking(replace(utterance, done=event.done)))
    return _speculate(judged) if is_end_of_turn(event.done, floor.endpointer.rules) else (judged, ())


def _speculate(floor: DialogState) -> Transition:
    """The user may be done: begin the final on what was heard."""
    assert isinstance(floor.phase, UserSpeaking)
    utterance = floor.phase.utterance
    if utterance.begun or not floor.rules.speculative_finals:
        return floor, ()
    return replace(floor, phase=UserSpeaking(replace(utterance, begun=True))), (
        do.StartFinal(utterance.number, utterance.revision),
    )


def _resume(floor: DialogState) -> Transition:
    """The user goes on: what was judged and begun in the pause is worth nothing."""
    assert isinstance(floor.phase, UserSpeaking)
    utterance = floor.phase.utterance
    resumed = replace(
        utterance,
        revision=utterance.revision + 1,
        done=None,
        begun=False,
        final=None,
        wasted=utterance.wasted + utterance.begun,
    )
    dropped = (do.DropFinal(utterance.number, utterance.revision),) if utterance.begun else ()
    return replace(floor, phase=UserSpeaking(resumed)), dropped


def _endpoint(floor: DialogState) -> Transition:
    """The utterance is over: its final is due."""
    if not isinstance(floor.phase, UserSpeaking):
        return floor, ()
    utterance = floor.phase.utterance
    began = () if utterance.begun else (do.StartFinal(utterance.number, utterance.revision),)
    silence = (floor.heard - utterance.speech_end) * 1000 // SAMPLE_RATE
    phase = _finalizing(floor, utterance)
    closed: Transition = (
        replace(floor, phase=phase, endpointer=floor.endpointer.cut(), owed=(*floor.owed, utterance)),
        (
            *began,
            do.CloseUtterance(utterance.number, utterance.revision),
            do.WakeAfter(max(0, phase.reply_after_ms - silence), ev.ReplyDue(utterance.number)),
        ),
    )
    return closed if utterance.final is None else chain(closed, lambda f: _show_final(f, utterance))


def _finalizing(floor: DialogState, utterance: Utterance) -> Finalizing:
    """How long the end of the turn is waited for, after what was heard in the pause."""
    rules = floor.rules
    sure = utterance.done is not None and utterance.done >= rules.sure_threshold
    return Finalizing(
        reply_after_ms=min(rules.reply_after_done_ms, rules.reply_after_ms) if sure else rules.reply_after_ms,
        may_go_on=rules.judge_pauses and not is_end_of_turn(utterance.done, floor.endpointer.rules),
    )


def _take_final(floor: DialogState, event: ev.FinalReceived) -> Transition:
    if (current := _spoken(floor, event.utterance, event.revision)) is not None:
        early = replace(current, final=event.hypothesis, route=event.route)
        return replace(floor, phase=UserSpeaking(early)), ()
    utterance = _owed(floor, event.utterance, event.revision)
    if utterance is None:
        return floor, ()
    return _show_final(floor, replace(utterance, final=event.hypothesis, route=event.route))


def _lose_final(floor: DialogState, event: ev.FinalFailed) -> Transition:
    """An engine failed: the newest draft is the best text at hand."""
    if (current := _spoken(floor, event.utterance, event.revision)) is not None:
        again = replace(current, begun=False)  # the endpoint will ask once more
        return replace(floor, phase=UserSpeaking(again)), ()
    utterance = _owed(floor, event.utterance, event.revision)
    if utterance is None:
        return floor, ()
    best = Hypothesis(utterance.agreement.text, is_final=True)
    floor, effects = _show_final(floor, replace(utterance, final=best))
    return floor, (do.ShowError(event.error), *effects)


def _spoken(floor: DialogState, number: int, revision: int) -> Utterance | None:
    """The utterance being spoken, if this is about it; None where it is about a revision that is over."""
    if not isinstance(floor.phase, UserSpeaking):
        return None
    utterance = floor.phase.utterance
    return utterance if (utterance.number, utterance.revision) == (number, revision) else None


def _owed(floor: DialogState, number: int, revision: int) -> Utterance | None:
    """The ended utterance this final is for; None where it is the echo of a revision that is over."""
    return next((u for u in floor.owed if (u.number, u.revision) == (number, revision)), None)


def _show_final(floor: DialogState, utterance: Utterance) -> Transition:
    assert utterance.final is not None
    text = utterance.final.text.strip()
    shown = do.ShowFinal(
        turn=floor.turn,
        utterance=utterance.number,
        hypothesis=replace(utterance.final, text=text),
        start=utterance.start,
        speech_end=utterance.speech_end,
        end=utterance.end,
        route=utterance.route,
        drafts=utterance.drafts,
        wasted=utterance.wasted,
    )
    floor = replace(
        floor,
        owed=tuple(u for u in floor.owed if u.number != utterance.number),
        said=tuple(sorted((*floor.said, (utterance.number, text)))) if text else floor.said,
    )
    return chain((floor, (shown,)), _go_on)


# -- turns ------------------------------------------------------------------------


def _go_on(floor: DialogState) -> Transition:
    """A final is there. What now?"""
    if floor.owed or isinstance(floor.phase, UserSpeaking):
        return floor, ()
    if isinstance(floor.phase, Leaving):
        return replace(floor, phase=Closed()), ()
    said = join(text for _, text in floor.said)
    if floor.reply and floor.reply.released:
        if is_backchannel(said):  # it was no interruption
            return _rest(replace(floor, said=())), ()
        return chain(cancel_reply(floor, "barge_in"), _go_on)
    if not said:
        return _rest(floor), ()
    if not isinstance(floor.phase, Finalizing):
        return floor, ()
    if floor.phase.over:
        return _answer(floor, said)
    if floor.rules.eager_replies and floor.rules.reply and not floor.phase.may_go_on:
        return begin_reply(floor, said)
    return floor, ()


def _end_turn(floor: DialogState) -> Transition:
    """The user's turn is over; it is answered as soon as all its finals are there."""
    if not isinstance(floor.phase, Finalizing):
        return floor, ()
    return _go_on(replace(floor, phase=replace(floor.phase, over=True)))


def _answer(floor: DialogState, said: str) -> Transition:
    if not floor.rules.reply:
        return replace(floor, phase=Idle(), turn=floor.turn + 1, said=()), ()
    if floor.reply is None:
        return chain(begin_reply(floor, said), release_reply)
    return release_reply(floor)


def _rest(floor: DialogState) -> DialogState:
    """Back to whoever has the floor when the user does not claim it."""
    if isinstance(floor.phase, UserSpeaking) or floor.owed or floor.said:
        return floor
    return replace(floor, phase=Replying() if floor.reply and floor.reply.released else Idle())


def _leave(floor: DialogState) -> Transition:
    """The client is gone: what it said is still written down, and nothing is answered."""
    stopped = chain(_endpoint(floor), lambda f: cancel_reply(f, None))

    def depart(floor: DialogState) -> Transition:
        if not floor.owed:
            return replace(floor, phase=Closed()), ()
        patience = do.WakeAfter(floor.rules.leave_after_ms, ev.LeaveTimeoutDue())
        return replace(floor, phase=Leaving()), (patience,)

    return chain(stopped, depart)
