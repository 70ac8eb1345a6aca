"""Speech over a reply: what is known of it, and what follows from its classification for the reply."""

from dataclasses import replace

from app.domain.audio import SAMPLE_RATE, ms
from app.domain.dialog import effects as do
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.ducking import restore_reply
from app.domain.dialog.echo import is_echo
from app.domain.dialog.interruption import MAX_WORDS, Overlap, OverlapVerdict, classify, without_repetition
from app.domain.dialog.pausing import may_pause, pause_reply, resume_reply
from app.domain.dialog.playback import played_samples
from app.domain.dialog.reply import cancel_reply
from app.domain.dialog.spoken_language import session_language, utterance_language
from app.domain.dialog.state import DialogState, Reply, UserSpeaking, Utterance

ECHO_STARTS_MS = 1500
"""Until then the echo's delay is found, in a session's first reply."""


def is_over_reply(state: DialogState) -> bool:
    """Whether what the user says is said over a reply."""
    return state.reply is not None and state.reply.released


def classify_overlap(state: DialogState) -> Transition:
    """Classify what the user says over the reply so far, and stop the reply, or play it on."""
    reply = state.reply
    if not isinstance(state.phase, UserSpeaking) or reply is None or not reply.released:
        return state, ()
    utterance = state.phase.utterance
    overlap = _overlap(state, reply, utterance)
    verdict = classify(overlap)
    if verdict is utterance.verdict and verdict is not OverlapVerdict.INTERRUPT:
        return state, ()
    noted = replace(state, phase=UserSpeaking(replace(utterance, verdict=verdict)))
    recorded: tuple[do.Effect, ...] = ()
    if verdict is not utterance.verdict and verdict is not OverlapVerdict.UNSURE:
        recorded = (do.RecordOverlap(utterance.number, verdict, overlap.elapsed_ms),)
    is_certain = len(without_repetition(utterance.agreement.stable)) > MAX_WORDS
    return chain((noted, recorded), lambda s: _follow(s, verdict, is_certain=is_certain))


def classify_turn(state: DialogState, text: str) -> OverlapVerdict:
    """What the finals over the reply are."""
    reply = state.reply
    assert reply is not None
    rules = state.rules
    return classify(
        Overlap(
            text,
            session_language(state),
            speech_ms=_milliseconds(state.turn_speech),
            is_over=True,
            relative_db=state.loudness.relative_db,
            answers_question=_is_asking(state, reply),
            mode=rules.interruptions,
            turns=rules.turns,
        )
    )


def continue_reply(state: DialogState) -> Transition:
    """No interruption came of it: the reply goes on, at its usual level."""
    return chain(resume_reply(state), restore_reply)


def _follow(state: DialogState, verdict: OverlapVerdict, *, is_certain: bool) -> Transition:
    assert state.reply is not None
    match verdict:
        case OverlapVerdict.UNSURE:
            return state, ()
        case OverlapVerdict.INTERRUPT if is_certain or not may_pause(state):
            return cancel_reply(state, "barge_in")
        case OverlapVerdict.INTERRUPT:
            return (state, ()) if state.reply.paused_at is not None else pause_reply(state)
        case _:
            return continue_reply(state)


def _overlap(state: DialogState, reply: Reply, utterance: Utterance) -> Overlap:
    text = utterance.agreement.text
    start = utterance.speech_start if utterance.audible_start is None else utterance.audible_start
    return Overlap(
        text,
        utterance_language(state, utterance),
        is_stable=bool(utterance.agreement.stable),
        speech_ms=_milliseconds(utterance.speech_end - start),
        elapsed_ms=_milliseconds(utterance.end - start),
        in_pause=state.endpointer.paused,
        is_draft_empty=utterance.is_draft_empty,
        recent_speech=1.0 if utterance.recent_speech is None else utterance.recent_speech,
        can_resume=may_pause(state),
        may_be_echo=_may_be_echo(state, reply, utterance),
        relative_db=state.loudness.relative_db,
        is_echo=is_echo(state, text, utterance.start, utterance.end),
        answers_question=_is_asking(state, reply),
        mode=state.rules.interruptions,
        turns=state.rules.turns,
    )


def _may_be_echo(state: DialogState, reply: Reply, utterance: Utterance) -> bool:
    """Whether it began within ECHO_STARTS_MS of the sound of the session's first reply."""
    if not state.rules.ignore_echo or not state.may_echo or state.first_voiced_reply != reply.number:
        return False
    return utterance.speech_start - reply.audio_sent_from < ms(ECHO_STARTS_MS)


def _is_asking(state: DialogState, reply: Reply) -> bool:
    """Whether the reply's last sentence is a question, and is being played: a "yes" is its answer."""
    if not reply.finished or not reply.pieces or not reply.pieces[-1].text.rstrip().endswith("?"):
        return False
    return played_samples(reply, state.audio_end) >= reply.pieces[-1].start


def _milliseconds(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE
