"""Audio in: where an utterance opens, is fed, pauses, ends or is split, and when silence ends the turn."""

from dataclasses import replace

from app.domain.audio import SAMPLE_RATE, ScoredChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition, chain
from app.domain.dialog.detachment import stall_timer
from app.domain.dialog.drafts import request_draft, request_draft_in_pause
from app.domain.dialog.ducking import duck_reply
from app.domain.dialog.endpointing import Boundary, Endpointer, endpoint_silence_ms
from app.domain.dialog.finals import begin_pause, endpoint, resume_speech, speculate
from app.domain.dialog.overlap import classify_overlap
from app.domain.dialog.reply import cancel_reply
from app.domain.dialog.spoken_language import utterance_language
from app.domain.dialog.state import DialogState, Finalizing, UserSpeaking, Utterance
from app.domain.dialog.turn import begin_in_silence, end_turn, turn_silence_ms
from app.domain.dialog.turn_events import speech_started, turn_resumed
from app.domain.turn_mode import TurnMode

NEWEST_WEIGHT = 0.25
"""Of a chunk's speech probability in the running average: a detector lags behind the end of speech."""
EARLIER_MS = 200
"""A voice is audible at most so long before the detector is sure of it: breath, and soft consonants."""


def accept_audio(state: DialogState, scored: ScoredChunk) -> Transition:
    """One more chunk of the session's audio, with its speech probability."""
    before, chunk = state.endpointer, scored.chunk
    is_speech = scored.speech >= before.rules.speech_threshold
    end_after_ms = 0 if is_speech else _end_after_ms(state)  # speech ends nothing, and words take time to look at
    endpointer, boundary = before.update(scored, end_after_ms=end_after_ms)
    loudness = state.loudness.listen(chunk.start, scored.level_db)
    state = replace(state, endpointer=endpointer, audio_end=chunk.end, loudness=loudness, may_echo=scored.may_echo)
    if not isinstance(state.phase, UserSpeaking):
        state = replace(state, pre_roll=state.pre_roll.push(chunk))
        return _open(state) if boundary is Boundary.START else _count_silence(state)

    utterance = state.phase.utterance
    grown = replace(
        utterance,
        end=chunk.end,
        speech_end=endpointer.speech_end,
        recent_speech=_average(utterance.recent_speech, scored.speech),
    )
    loudness = state.loudness.update(scored.level_db) if is_speech else state.loudness
    fed: Transition = (
        replace(state, phase=UserSpeaking(grown), loudness=loudness),
        (do.FeedUtterance(grown.number, chunk),),
    )
    return chain(_after_audio(fed, before, boundary, chunk.samples), classify_overlap)


def _average(before: float | None, speech: float) -> float:
    return speech if before is None else before + NEWEST_WEIGHT * (speech - before)


def _after_audio(fed: Transition, before: Endpointer, boundary: Boundary, samples: int) -> Transition:
    """What a chunk of the open utterance means for its final, its drafts and its end."""
    endpointer = fed[0].endpointer
    match boundary:
        case Boundary.PAUSE:
            return chain(chain(fed, begin_pause), request_draft_in_pause)
        case Boundary.RESUME:
            return chain(chain(_after_pause(fed, before.run), resume_speech), request_draft)
        case Boundary.END:
            return chain(fed, endpoint)
        case Boundary.SPLIT:
            resumed = chain(fed, resume_speech) if before.paused else fed  # a final of the pause lacks this chunk
            return chain(chain(resumed, endpoint), lambda s: _open(replace(s, endpointer=endpointer)))
        case _ if endpointer.paused:
            due = ms(fed[0].rules.speculate_after_ms)
            return chain(fed, speculate) if endpointer.run - samples < due <= endpointer.run else fed
        case _:
            return chain(fed, request_draft)


def _after_pause(fed: Transition, samples: int) -> Transition:
    """The speaker has paused for so long inside a turn."""
    state, effects = fed
    return replace(state, speaker_pace=state.speaker_pace.with_pause(1000 * samples / SAMPLE_RATE)), effects


def _end_after_ms(state: DialogState) -> int:
    """The silence that ends the open utterance, by its words and its end-of-turn score."""
    text, language, eot_probability = "", None, None
    if isinstance(state.phase, UserSpeaking):
        utterance = state.phase.utterance
        text = utterance.final.text if utterance.final else utterance.agreement.text
        language, eot_probability = utterance_language(state, utterance), utterance.eot_probability
    speaker = state.speaker_pace if state.rules.adaptive_waits else None
    silence = endpoint_silence_ms(text, language, eot_probability, state.endpointer.rules, speaker)
    return min(silence, state.rules.silence_ms) if state.rules.turns is TurnMode.SILENCE else silence


def _open(state: DialogState) -> Transition:
    """Speech began: a new utterance, from the pre-roll on. A reply that is not released yet is dropped."""
    dropped: Transition = turn_resumed(state)
    if isinstance(state.phase, Finalizing) and state.phase.speech_end is not None and not state.phase.turn_over:
        dropped = _after_pause(dropped, state.endpointer.speech_start - state.phase.speech_end)
    if state.reply and not state.reply.released:
        dropped = chain(dropped, lambda s: cancel_reply(s, "barge_in"))
    state, effects = dropped
    number = state.utterance_count + 1
    chunks = state.pre_roll.chunks
    utterance = Utterance(
        number,
        start=chunks[0].start if chunks else state.audio_end,
        speech_start=state.endpointer.speech_start,
        end=state.audio_end,
        speech_end=state.endpointer.speech_end,
    )
    audible_from = state.loudness.audible_from
    if audible_from is not None and audible_from < utterance.speech_start:
        earliest = utterance.speech_start - ms(EARLIER_MS)
        utterance = replace(utterance, audible_start=max(audible_from, earliest))
    rules = state.rules
    opened = replace(
        state,
        phase=UserSpeaking(utterance),
        utterance_count=number,
        pre_roll=state.pre_roll.clear(),
        loudness=state.loudness.begin(),
    )
    begun: Transition = (
        opened,
        (
            *effects,
            *speech_started(state, utterance),
            do.OpenUtterance(
                number,
                utterance.start,
                rules.language,
                rules.residency,
                rules.deadline_ms,
                rules.expected_terms,
                rules.profile.vocabulary if rules.profile else None,
            ),
            *(do.FeedUtterance(number, chunk) for chunk in chunks),
            stall_timer(opened),
        ),
    )
    return chain(chain(begun, duck_reply), classify_overlap)


def _count_silence(state: DialogState) -> Transition:
    """Silence after the user spoke; enough of it ends the turn."""
    if not isinstance(state.phase, Finalizing):
        return state, ()
    needed, silence = turn_silence_ms(state.rules, state.phase), state.audio_end - state.endpointer.speech_end
    if needed is None or silence < ms(needed - state.rules.eager_lead_ms):
        return state, ()
    return end_turn(state) if silence >= ms(needed) else begin_in_silence(state)


def check_stall(state: DialogState, event: ev.AudioStalled) -> Transition:
    """End the turn where no audio came since the timer was started, as the client's `end` would; else start it again.

    Where only `end` itself may do that, it ends the utterance.

    It decides nothing while audio comes, however late: silence is counted in samples.
    """
    speaks = isinstance(state.phase, UserSpeaking | Finalizing) and event.utterance == state.utterance_count
    if not speaks or state.is_detached or event.returns != state.returns:
        return state, ()
    if state.audio_end == event.audio_end:
        ended = endpoint(state)
        return ended if state.rules.turns is TurnMode.MANUAL else chain(ended, end_turn)
    return state, (stall_timer(state),)
