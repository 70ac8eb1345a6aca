"""Decode with fallback: a pass with short context, repaired or repeated with more where its text looks hallucinated."""

from collections.abc import Sequence
from dataclasses import replace

from providers.local.asr.hallucination import Verdict
from providers.local.asr.recognizer import DecodeRequest, DecodeResult
from providers.local.asr.repair import repair, silenced, truncated
from providers.local.asr.whisper.context_schedule import DRAFT_MARGIN, FINAL_MARGIN, context_schedule
from providers.local.asr.whisper.decode import (
    DecodePass,
    Memory,
    PreparedRequest,
    align,
    encode,
    generate,
    prepare,
    split_batch,
)
from providers.local.asr.whisper.model import WhisperModel
from providers.local.mel import LogMel, encoder_features


def decode(model: WhisperModel, requests: Sequence[DecodeRequest]) -> list[DecodeResult]:
    """Decode all requests: their first pass together, passes with more context one by one. Raises RequestRefused."""
    features = [model.filters.log_mel(request.samples) for request in requests]
    schedules = [_schedule(request, log_mel) for request, log_mel in zip(requests, features, strict=True)]
    frames = max(schedule[0] for schedule in schedules)
    memory = encode(model, [encoder_features(log_mel, frames) for log_mel in features])
    parts = [memory] if len(requests) == 1 else split_batch(model, memory)
    prepared = [prepare(model, *each) for each in zip(requests, features, parts, strict=True)]
    if len({len(one.hotwords) + len(one.prompt) for one in prepared}) == 1:
        first = generate(model, memory, prepared)
    else:
        # A batch needs prompts of one length: where they differ only the encoder's pass is shared.
        first = [generate(model, part, [one])[0] for part, one in zip(parts, prepared, strict=True)]
    return [
        decode_with_fallback(model, one, part, decoded, (frames, *(wider for wider in schedule if wider > frames)))
        for one, part, decoded, schedule in zip(prepared, parts, first, schedules, strict=True)
    ]


def _schedule(request: DecodeRequest, log_mel: LogMel) -> tuple[int, ...]:
    return context_schedule(log_mel.shape[1], FINAL_MARGIN if request.allow_fallback else DRAFT_MARGIN)


def decode_with_fallback(
    model: WhisperModel, prepared: PreparedRequest, memory: Memory, first: DecodePass, contexts: Sequence[int]
) -> DecodeResult:
    """Accept the pass decoded with the first of `contexts` (in frames), repair it, or decode with the next one.

    Where the session's language was favoured and gives no acceptable text, the likelier language is what was spoken.
    """
    best = _repaired(model, prepared, memory, first)
    if prepared.likelier is not None and prepared.request.allow_fallback and best.verdict is not Verdict.OK:
        other = replace(prepared, tokenizer=prepared.likelier, prefix=(), likelier=None)
        spoken = decode_with_fallback(model, other, memory, generate(model, memory, [other])[0], contexts)
        if spoken.text:
            return spoken
    passes = 1
    without_prefix = replace(prepared, prefix=())
    for frames in contexts[1:] if prepared.request.allow_fallback else ():
        if best.verdict in (Verdict.OK, Verdict.SILENCE):
            break
        memory = encode(model, [encoder_features(prepared.log_mel, frames)])
        retried = _repaired(model, without_prefix, memory, generate(model, memory, [without_prefix])[0])
        passes += 1
        is_better = retried.avg_logprob > best.avg_logprob or best.verdict is Verdict.LOOP
        if retried.verdict in (Verdict.OK, Verdict.SILENCE) or is_better:
            best = retried
    best = truncated(best, prepared.request.audio_s)
    if prepared.request.allow_fallback:  # a broken draft is skipped, and takes no word back
        best = silenced(best)
    return replace(best, passes=passes, language=prepared.tokenizer.language_code)


def _repaired(model: WhisperModel, prepared: PreparedRequest, memory: Memory, decoded: DecodePass) -> DecodeResult:
    repaired = repair(decoded.evidence, prepared.request, lambda: align(model, prepared, memory, decoded))
    return replace(repaired, no_speech_prob=decoded.evidence.no_speech_prob)
