"""Drafts: when the next one is requested, and what a draft that came shows or interrupts."""

from dataclasses import replace

from app.domain.audio import ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.echo import is_echo
from app.domain.dialog.overlap import classify_overlap, is_over_reply
from app.domain.dialog.state import DialogState, UserSpeaking, Utterance
from app.domain.errors import NoDrafts


def request_draft(state: DialogState) -> Transition:
    """Request the next draft, where enough new speech has come; one at a time, and none in silence."""
    assert isinstance(state.phase, UserSpeaking)
    utterance = state.phase.utterance
    is_silent = state.endpointer.run > 0  # there are no new words, and perhaps a final to make
    if utterance.draft_pending or is_silent or utterance.end < _draft_due(state, utterance):
        return state, ()
    return _request(state, utterance)


def request_draft_in_pause(state: DialogState) -> Transition:
    """Over a reply: request a draft of all that was said before the pause, however short, where there is none."""
    if not isinstance(state.phase, UserSpeaking) or not is_over_reply(state):
        return state, ()
    utterance = state.phase.utterance
    if utterance.draft_pending or (utterance.draft_requested_at or 0) >= utterance.speech_end:
        return state, ()
    return _request(state, utterance)


def _draft_due(state: DialogState, utterance: Utterance) -> int:
    """The sample from which the next draft may be requested."""
    rules = state.rules
    if utterance.draft_requested_at is None:
        return utterance.speech_start + ms(rules.first_draft_after_ms)
    every_ms = rules.overlap_draft_every_ms if is_over_reply(state) else rules.draft_every_ms
    every_ms = every_ms if utterance.agreement.newest else min(every_ms, rules.draft_retry_ms)
    return utterance.draft_requested_at + ms(min(every_ms, rules.draft_every_ms))


def _request(state: DialogState, utterance: Utterance) -> Transition:
    requested = replace(utterance, draft_pending=True, draft_requested_at=utterance.end)
    return replace(state, phase=UserSpeaking(requested)), (
        do.RequestDraft(utterance.number, utterance.agreement.stable_text),
    )


def accept_draft(state: DialogState, event: ev.DraftReceived | ev.DraftSkipped) -> Transition:
    """Show the draft, unless it is an echo, and classify it where it is of speech over a reply."""
    if not isinstance(state.phase, UserSpeaking) or state.phase.utterance.number != event.utterance:
        return state, ()
    utterance = replace(state.phase.utterance, draft_pending=False, is_draft_empty=False)
    if isinstance(event, ev.DraftSkipped):
        skipped = replace(state, phase=UserSpeaking(utterance))
        return _report_no_drafts(skipped) if event.is_refused else (skipped, ())
    agreement = utterance.agreement.update(event.hypothesis.text)
    utterance = replace(
        utterance,
        agreement=agreement,
        draft_language=event.hypothesis.language or utterance.draft_language,
        drafts=utterance.drafts + 1,
        is_draft_empty=not event.hypothesis.text.strip(),
    )
    is_shown = agreement.text and not is_echo(state, agreement.text, utterance.start, utterance.end)
    text, held_back = agreement.shown_text(state.rules.held_back_words)
    shown = do.ShowDraft(state.turn, utterance.number, text, agreement.stable_text, held_back)
    drafted: Transition = replace(state, phase=UserSpeaking(utterance)), (shown,) if is_shown else ()
    return chain(drafted, classify_overlap)


def _report_no_drafts(state: DialogState) -> Transition:
    """Tell the client once for each language."""
    language = state.rules.language
    if language in state.without_drafts:
        return state, ()
    named = f"in {language}" if language else "where the language is to be detected"
    error = NoDrafts(f"this server has no drafts {named}; the finals come as always")
    return replace(state, without_drafts=state.without_drafts | {language}), (do.ShowError(error),)
