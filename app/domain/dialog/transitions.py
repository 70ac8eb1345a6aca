"""The dialog state machine: whose turn it is, and what is done about it.

transition() takes the state and an event and returns the next state and the effects to carry out. It is pure: it
performs nothing, awaits nothing and reads no clock.

    Idle --speech--> UserSpeaking --endpoint--> Finalizing --turn over--> Replying
      ^                  ^   ^                     |   |                  |   |
      |                  |   '--- speech resumes --'   |                  |   |
      |                  '---- speech over the reply ---------------------'   |
      '----------------- nothing was said, or the reply is played ------------'

Speech over a reply does not stop it until its words show that it is a barge-in, not a backchannel. A client that
disconnects passes through Leaving, where its pending finals are awaited, to Closed.
"""

from dataclasses import replace
from typing import assert_never, get_args

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.clearing import discard_turn
from app.domain.dialog.detachment import detach, reattach
from app.domain.dialog.drafts import accept_draft
from app.domain.dialog.finals import (
    accept_failure,
    accept_final,
    accept_score,
    close_utterance,
    endpoint,
    open_utterance,
    show_newest_drafts,
    speculate,
)
from app.domain.dialog.playback_position import accept_position, check_playback
from app.domain.dialog.profile import choose_profile, continue_with_profile, with_voice
from app.domain.dialog.reply import accept_reply_event, cancel_reply, start_speaking_text
from app.domain.dialog.requested_reply import add_message, request_reply
from app.domain.dialog.speaker_label import accept_voice
from app.domain.dialog.state import ClientSetting, Closed, DialogState, Leaving, UserSpeaking
from app.domain.dialog.text_message import accept_text
from app.domain.dialog.turn import end_turn, resolve_turn, settle_phase
from app.domain.dialog.utterance import accept_audio, check_stall
from app.domain.residency import Residency


def transition(state: DialogState, event: ev.Event) -> Transition:
    """The state after one more event, and the effects to carry out, in order."""
    match state.phase, event:
        case Closed(), _:
            return state, ()
        case Leaving(), ev.FinalReceived() | ev.FinalFailed() | ev.SpeakerEmbedded() | ev.LeaveTimeoutDue():
            pass
        case Leaving(), _:
            return state, ()
    match event:
        case ev.AudioReceived(scored):
            return accept_audio(state, scored)
        case ev.DraftReceived() | ev.DraftSkipped():
            return accept_draft(state, event)
        case ev.EndOfTurnScored():
            return accept_score(state, event)
        case ev.ComputeIdle(utterance, revision):
            return speculate(state) if open_utterance(state, utterance, revision) else (state, ())
        case ev.FinalReceived():
            return accept_final(state, event)
        case ev.FinalFailed():
            return accept_failure(state, event)
        case ev.SpeakerEmbedded():
            return accept_voice(state, event)
        case ev.ReplyDeltaReceived() | ev.ReplyPieceBegun() | ev.ReplyAudioReceived() | ev.ReplySpeechRefused():
            return accept_reply_event(state, event)
        case ev.ReplyToolCalled() | ev.ReplyToolRequested() | ev.ReplyFinished() | ev.ReplyFailed():
            return accept_reply_event(state, event)
        case ev.PlaybackFinished():
            return check_playback(state, event)
        case ev.ClientPlayed():
            return accept_position(state, event)
        case ev.ClientConfigured():
            return _configure(state, event)
        case ev.ClientEnded():
            return chain(endpoint(state), end_turn)
        case ev.AudioStalled():
            return check_stall(state, event)
        case ev.ClientDetached():
            return detach(state)
        case ev.ClientReturned():
            return reattach(state)
        case ev.ClientCleared():
            return discard_turn(state)
        case ev.ClientMarked(mark):
            return state, (do.ShowMark(mark),)
        case ev.ClientCancelled():
            return chain(cancel_reply(replace(state, requested=None), "cancelled"), lambda s: (settle_phase(s), ()))
        case ev.ClientRequestedSpeech(text):
            return start_speaking_text(state, text)
        case ev.ClientSentText(text):
            return accept_text(state, text)
        case ev.ClientRequestedReply():
            return request_reply(state, event)
        case ev.ClientAddedMessage(message):
            return add_message(state, message)
        case ev.ClientReplacedHistory(messages):
            return replace(state, history=messages), ()
        case ev.HistoryLoaded(conversation, messages, profile):
            continued = continue_with_profile(state, profile) if profile else state
            return replace(continued, history=(*messages, *state.history)), (do.ShowConversation(conversation),)
        case ev.HistoryExtended(messages):
            return replace(state, history=(*state.history, *messages)), ()
        case ev.ClientErrorDetected(error, request):
            return state, (do.ShowError(error, request),)
        case ev.ClientLeft():
            return _disconnect(state)
        case ev.LeaveTimeoutDue():
            return show_newest_drafts(state) if isinstance(state.phase, Leaving) else (state, ())
        case _:
            assert_never(event)


def _configure(state: DialogState, event: ev.ClientConfigured) -> Transition:
    """Apply what the client set: residency, key terms and turn mode at once, the rest from the next utterance on."""
    state = state if event.profile is None else choose_profile(state, event.profile)
    rules = state.rules
    configured = replace(
        rules,
        language=rules.language if event.language is None else event.language or None,
        reply=rules.reply if event.reply is None else event.reply,
        speak=rules.speak if event.speak is None else event.speak,
        residency=event.residency or rules.residency,
        words=rules.words if event.words is None else event.words,
        events=rules.events if event.events is None else event.events,
        deadline_ms=rules.deadline_ms if event.deadline_ms is None else event.deadline_ms or None,
        turns=event.turns or rules.turns,
        interruptions=event.interruptions or rules.interruptions,
        may_pause=rules.may_pause if event.may_pause is None else event.may_pause,
        silence_ms=event.silence_ms or rules.silence_ms,
        client_tools=rules.client_tools if event.tools is None else event.tools,
        keeps_unanswered=rules.keeps_unanswered if event.keeps_unanswered is None else event.keeps_unanswered,
        instructions=rules.instructions if event.instructions is None else event.instructions,
        profile=rules.profile if event.voice is None else with_voice(rules.profile, event.voice),
        client_key_terms=rules.client_key_terms if event.key_terms is None else event.key_terms,
    )
    speaking = (state.phase.utterance.number,) if isinstance(state.phase, UserSpeaking) else ()
    expected: tuple[do.Effect, ...] = ()
    if configured.expected_terms != rules.expected_terms:
        expected = tuple(do.ExpectKeyTerms(number, configured.expected_terms) for number in speaking)
    restricted: tuple[do.Effect, ...] = ()
    if configured.residency is Residency.ON_PREM_ONLY and rules.residency is not Residency.ON_PREM_ONLY:
        pending = (utterance.number for utterance in state.pending_finals)
        restricted = tuple(do.RestrictToOnPrem(number) for number in (*pending, *speaking))
    named: tuple[do.Effect, ...] = (do.RecordProfile(event.profile.name),) if event.profile else ()
    return replace(state, rules=configured, set_by_client=_set_by_client(state, event)), (
        *named,
        *restricted,
        *expected,
    )


def _set_by_client(state: DialogState, event: ev.ClientConfigured) -> frozenset[ClientSetting]:
    fields: tuple[ClientSetting, ...] = get_args(ClientSetting)
    return state.set_by_client | {name for name in fields if getattr(event, name) is not None}


def _disconnect(state: DialogState) -> Transition:
    """The client is gone: its words are still transcribed and recorded, and nothing is answered."""
    stopped = cancel_reply(state, "disconnected")
    if isinstance(state.phase, UserSpeaking):
        utterance = state.phase.utterance
        left = chain(stopped, lambda s: close_utterance(s, utterance, Leaving()))
    else:
        left = chain(stopped, lambda s: resolve_turn(replace(s, phase=Leaving())))
    return chain(left, _start_leave_timer)


def _start_leave_timer(state: DialogState) -> Transition:
    if not isinstance(state.phase, Leaving):
        return state, ()
    return state, (do.StartLeaveTimer(state.rules.leave_grace_ms),)
