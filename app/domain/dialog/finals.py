"""Finals: started speculatively in a pause, dropped when speech resumes, shown after the endpoint.

No word is lost: where a final fails or comes too late, the newest draft is shown in its place, without a route.
"""

from dataclasses import replace
from functools import partial

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.echo import is_echo
from app.domain.dialog.endpointing import is_end_of_turn
from app.domain.dialog.speaker_label import label_final
from app.domain.dialog.spoken_language import utterance_language
from app.domain.dialog.state import DialogState, Finalizing, Leaving, UserSpeaking, Utterance
from app.domain.dialog.turn import resolve_turn
from app.domain.dialog.turn_events import eager_in_pause, speech_stopped, turn_resumed
from app.domain.dialog.turn_words import turn_words
from app.domain.transcript import Hypothesis

# -- in the pause -------------------------------------------------------------------


def begin_pause(state: DialogState) -> Transition:
    """The user paused: ask the turn detector, or start the final at once where there is none."""
    assert isinstance(state.phase, UserSpeaking)
    utterance = state.phase.utterance
    if state.rules.score_end_of_turn:
        return state, (do.ScoreEndOfTurn(utterance.number, utterance.revision),)
    return speculate(state)


def accept_score(state: DialogState, event: ev.EndOfTurnScored) -> Transition:
    """Keep the score of the current pause; start the final where it says that the turn is over."""
    utterance = open_utterance(state, event.utterance, event.revision)
    if utterance is None:
        return state, ()
    scored = replace(state, phase=UserSpeaking(replace(utterance, eot_probability=event.eot_probability)))
    if not is_end_of_turn(event.eot_probability, state.endpointer.rules):
        return scored, ()
    return chain(speculate(scored), eager_in_pause)


def speculate(state: DialogState) -> Transition:
    """Start the final of the audio so far, before the endpoint; once for each revision."""
    assert isinstance(state.phase, UserSpeaking)
    utterance = state.phase.utterance
    if utterance.final_started or not state.rules.speculative_finals:
        return state, ()
    return replace(state, phase=UserSpeaking(replace(utterance, final_started=True))), (
        do.StartFinal(utterance.number, utterance.revision),
    )


def resume_speech(state: DialogState) -> Transition:
    """The user continues: the score and the final of the pause are stale."""
    assert isinstance(state.phase, UserSpeaking)
    utterance = state.phase.utterance
    resumed = replace(
        utterance,
        revision=utterance.revision + 1,
        eot_probability=None,
        final_started=False,
        final=None,
        voice=None,
        wasted=utterance.wasted + utterance.final_started,
    )
    dropped = (do.DropFinal(utterance.number, utterance.revision),) if utterance.final_started else ()
    return chain((replace(state, phase=UserSpeaking(resumed)), dropped), turn_resumed)


# -- the endpoint -------------------------------------------------------------------


def endpoint(state: DialogState) -> Transition:
    """The utterance is over: its final is due, and the silence before the reply is counted."""
    if not isinstance(state.phase, UserSpeaking):
        return state, ()
    utterance = state.phase.utterance
    return close_utterance(state, utterance, _finalizing(state, utterance))


def close_utterance(state: DialogState, utterance: Utterance, phase: Finalizing | Leaving) -> Transition:
    """End the open utterance and continue in this phase; a speculative final that is there is shown."""
    started = () if utterance.final_started else (do.StartFinal(utterance.number, utterance.revision),)
    is_over_reply = state.reply is not None and state.reply.released
    state = state if is_over_reply else replace(state, loudness=state.loudness.learn())
    closed: Transition = (
        replace(
            state,
            phase=phase,
            endpointer=state.endpointer.reset(),
            pending_finals=(*state.pending_finals, utterance),
        ),
        (*started, do.CloseUtterance(utterance.number, utterance.revision), *speech_stopped(state, utterance)),
    )
    return closed if utterance.final is None else chain(closed, lambda s: show_final(s, utterance))


def _finalizing(state: DialogState, utterance: Utterance) -> Finalizing:
    """How long the end of the turn is waited for, by the end-of-turn score of the pause."""
    rules = state.rules
    confident = utterance.eot_probability is not None and utterance.eot_probability >= rules.confident_threshold
    return Finalizing(
        reply_after_ms=min(rules.confident_reply_after_ms, rules.reply_after_ms) if confident else rules.reply_after_ms,
        may_continue=rules.score_end_of_turn and not is_end_of_turn(utterance.eot_probability, state.endpointer.rules),
        eot_probability=utterance.eot_probability,
        speech_end=utterance.speech_end,
    )


# -- results ------------------------------------------------------------------------


def accept_final(state: DialogState, event: ev.FinalReceived) -> Transition:
    """Keep a final that came before its endpoint, show one that came after it, ignore a stale one."""
    if (current := open_utterance(state, event.utterance, event.revision)) is not None:
        early = replace(current, final=event.hypothesis, route=event.route)
        return eager_in_pause(replace(state, phase=UserSpeaking(early)))
    utterance = _pending_utterance(state, event.utterance, event.revision)
    if utterance is None:
        return state, ()
    return show_final(state, replace(utterance, final=event.hypothesis, route=event.route))


def accept_failure(state: DialogState, event: ev.FinalFailed) -> Transition:
    """A speculation that failed is started again at the endpoint; otherwise the newest draft is shown."""
    if (current := open_utterance(state, event.utterance, event.revision)) is not None:
        return replace(state, phase=UserSpeaking(replace(current, final_started=False))), ()
    utterance = _pending_utterance(state, event.utterance, event.revision)
    if utterance is None:
        return state, ()
    if event.speculative:  # the endpoint came while this event waited in the inbox
        return state, (do.StartFinal(utterance.number, utterance.revision),)
    return chain((state, (do.ShowError(event.error),)), lambda s: show_newest_draft(s, utterance))


def show_newest_drafts(state: DialogState) -> Transition:
    """No final is awaited any longer: every pending utterance is shown with its newest draft."""
    shown: Transition = state, ()
    for utterance in state.pending_finals:
        shown = chain(shown, partial(show_newest_draft, utterance=utterance))
    return shown


def show_newest_draft(state: DialogState, utterance: Utterance) -> Transition:
    """Show the newest draft as the final; no route made it."""
    newest = Hypothesis(utterance.agreement.text, is_final=True)
    return show_final(state, replace(utterance, final=newest, route=None))


def show_final(state: DialogState, utterance: Utterance) -> Transition:
    """Show the final of an utterance that ended, and see what follows from it for the turn; an echo has no words."""
    assert utterance.final is not None
    final = utterance.final
    if is_echo(state, final.text, utterance.start, utterance.end):
        final = replace(final, text="", words=())
    text = final.text.strip()
    state, speaker = label_final(state, utterance, state.turn) if text else (state, None)
    shown = do.ShowFinal(
        turn=state.turn,
        utterance=utterance.number,
        hypothesis=replace(final, text=text),
        start=utterance.start,
        speech_end=utterance.speech_end,
        end=utterance.end,
        route=utterance.route,
        drafts=utterance.drafts,
        wasted=utterance.wasted,
        with_words=state.rules.words,
        speaker=speaker,
    )
    transcript = state.turn_transcript
    state = replace(
        state,
        pending_finals=tuple(u for u in state.pending_finals if u.number != utterance.number),
        turn_transcript=tuple(sorted((*transcript, (utterance.number, text)))) if text else transcript,
        turn_speech=state.turn_speech + (utterance.speech_end - utterance.speech_start if text else 0),
        newest_language=(final.language if text else None) or state.newest_language,
    )
    if turn_words(utterance_language(state, utterance)):  # elsewhere a word may be a whole sentence
        spoken = utterance.speech_end - utterance.speech_start
        state = replace(state, speaker_pace=state.speaker_pace.with_words(len(text.split()), spoken))
    return chain((state, (shown,)), resolve_turn)


def open_utterance(state: DialogState, number: int, revision: int) -> Utterance | None:
    """The utterance being spoken, where this is its current revision; else None."""
    if not isinstance(state.phase, UserSpeaking):
        return None
    utterance = state.phase.utterance
    return utterance if (utterance.number, utterance.revision) == (number, revision) else None


def _pending_utterance(state: DialogState, number: int, revision: int) -> Utterance | None:
    """The ended utterance whose final is pending, where this is its last revision; else None."""
    return next((u for u in state.pending_finals if (u.number, u.revision) == (number, revision)), None)
