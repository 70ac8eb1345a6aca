"""Decode with fallback: a pass with short context, repaired or repeated with more where its text looks hallucinated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

from providers.local.asr.context_schedule import DRAFT_MARGIN, FINAL_MARGIN, context_schedule
from providers.local.asr.decode import (
    DecodePass,
    DecodeRequest,
    Memory,
    PreparedRequest,
    TimedWord,
    align,
    encode,
    generate,
    prepare,
    split_batch,
)
from providers.local.asr.hallucination import (
    Verdict,
    assess,
    has_zero_duration,
    loop_start,
    restarts_at,
    truncate_repetition,
)
from providers.local.asr.whisper_model import WhisperModel
from providers.local.mel import encoder_features

_AMBIGUOUS_WORDS = 4
"""Fewer words than these, said twice, may be a loop or true speech."""


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """The text of one request."""

    text: str = ""
    avg_logprob: float = 0.0
    """Mean log-probability per token."""

    verdict: Verdict = Verdict.SILENCE
    words: tuple[TimedWord, ...] = ()
    """Where the request asked for timestamps, or they were needed to judge a repetition."""

    passes: int = 0
    """How often the encoder ran."""

    language: str | None = None

    @property
    def confidence(self) -> float:
        """0 to 1."""
        return exp(min(0.0, self.avg_logprob))


def decode(model: WhisperModel, requests: Sequence[DecodeRequest]) -> list[DecodeResult]:
    """Decode all requests: their first pass together, passes with more context one by one. Raises RequestRefused."""
    frames = max(_schedule(request)[0] for request in requests)
    memory = encode(model, [encoder_features(request.log_mel, frames) for request in requests])
    parts = [memory] if len(requests) == 1 else split_batch(model, memory)
    prepared = [prepare(model, request, part) for request, part in zip(requests, parts, strict=True)]
    if len({len(one.prompt) for one in prepared}) == 1:
        first = generate(model, memory, prepared)
    else:
        # A batch needs prompts of one length: where they differ only the encoder's pass is shared.
        first = [generate(model, part, [one])[0] for part, one in zip(parts, prepared, strict=True)]
    return [
        decode_with_fallback(
            model, one, part, decoded, (frames, *(wider for wider in _schedule(one.request) if wider > frames))
        )
        for one, part, decoded in zip(prepared, parts, first, strict=True)
    ]


def _schedule(request: DecodeRequest) -> tuple[int, ...]:
    return context_schedule(request.log_mel.shape[1], FINAL_MARGIN if request.allow_fallback else DRAFT_MARGIN)


def decode_with_fallback(
    model: WhisperModel, prepared: PreparedRequest, memory: Memory, first: DecodePass, contexts: Sequence[int]
) -> DecodeResult:
    """Accept the pass decoded with the first of `contexts` (in frames), repair it, or decode with the next one."""
    best = _repair(model, prepared, memory, first)
    passes = 1
    without_prefix = replace(prepared, prefix=())
    for frames in contexts[1:] if prepared.request.allow_fallback else ():
        if best.verdict in (Verdict.OK, Verdict.SILENCE):
            break
        memory = encode(model, [encoder_features(prepared.request.log_mel, frames)])
        retried = _repair(model, without_prefix, memory, generate(model, memory, [without_prefix])[0])
        passes += 1
        is_better = retried.avg_logprob > best.avg_logprob or best.verdict is Verdict.LOOP
        if retried.verdict in (Verdict.OK, Verdict.SILENCE) or is_better:
            best = retried
    if best.verdict in (Verdict.LOOP, Verdict.BROKEN):
        text = truncate_repetition(best.text, prepared.request.audio_s)
        best = replace(best, text=text, words=best.words[: len(text.split())])
    return replace(best, passes=passes, language=prepared.tokenizer.language_code)


def _repair(model: WhisperModel, prepared: PreparedRequest, memory: Memory, decoded: DecodePass) -> DecodeResult:
    """The text of a pass, without a repetition that was not spoken."""
    evidence, request = decoded.evidence, prepared.request
    verdict = assess(evidence)
    if verdict is Verdict.LOOP:
        return _without_loop(model, prepared, memory, decoded)
    if verdict is Verdict.SILENCE:
        return DecodeResult("", evidence.avg_logprob, verdict)
    words = align(model, prepared, memory, decoded.tokens) if request.word_timestamps else ()
    text = evidence.text.split()
    if not request.allow_fallback and (cut := restarts_at(text)) is not None:
        return DecodeResult(" ".join(text[:cut]), evidence.avg_logprob, verdict, words[:cut])
    return DecodeResult(evidence.text, evidence.avg_logprob, verdict, words)


def _without_loop(model: WhisperModel, prepared: PreparedRequest, memory: Memory, decoded: DecodePass) -> DecodeResult:
    """The text before its repetition, unless the repetition has a duration of its own and was spoken."""
    evidence, request = decoded.evidence, prepared.request
    text = evidence.text.split()
    cut = loop_start(text)
    assert cut is not None
    aligned = request.allow_fallback or request.word_timestamps
    words = align(model, prepared, memory, decoded.tokens) if aligned else ()
    if request.allow_fallback:
        is_aligned = len(words) == len(text)
        if not is_aligned or not has_zero_duration([word.start_s for word in words], words[-1].end_s, cut):
            # A whole clause with a duration of its own was said twice; of a few words nobody can tell.
            is_doubtful = cut < _AMBIGUOUS_WORDS or not is_aligned or evidence.hit_token_limit
            verdict = Verdict.LOOP if is_doubtful else Verdict.OK
            return DecodeResult(evidence.text, evidence.avg_logprob, verdict, words)
    return DecodeResult(" ".join(text[:cut]), evidence.avg_logprob, Verdict.OK, words[:cut])
