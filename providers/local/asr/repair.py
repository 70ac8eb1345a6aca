"""What becomes of a decoded text that looks hallucinated: a repetition that was not spoken is cut off. Pure."""

from collections.abc import Callable
from dataclasses import replace

from providers.local.asr.hallucination import (
    MAX_NO_SPEECH_PROB,
    DecodeEvidence,
    Verdict,
    assess,
    has_zero_duration,
    loop_start,
    restarts_at,
    spoken_words,
    truncate_repetition,
)
from providers.local.asr.recognizer import DecodeRequest, DecodeResult, TimedWord

_AMBIGUOUS_WORDS = 4
"""Fewer words than these, said twice, may be a loop or true speech."""

_PROBABLE_AVG_LOGPROB = -0.9
"""Mean log-probability from which a text needs no other evidence."""

Align = Callable[[], tuple[TimedWord, ...]]
"""Times of the text's words, computed when they are needed."""


def repair(evidence: DecodeEvidence, request: DecodeRequest, align: Align) -> DecodeResult:
    """The text of a pass, without a repetition that was not spoken."""
    verdict = assess(evidence)
    if verdict is Verdict.LOOP:
        return _without_loop(evidence, request, align)
    if verdict is Verdict.SILENCE:
        return DecodeResult("", evidence.avg_logprob, verdict)
    words = align() if request.word_timestamps else ()
    text = evidence.text.split()
    if not request.allow_fallback and (cut := restarts_at(text)) is not None:
        return DecodeResult(" ".join(text[:cut]), evidence.avg_logprob, verdict, words[:cut])
    return DecodeResult(evidence.text, evidence.avg_logprob, verdict, words)


def truncated(result: DecodeResult, audio_s: float) -> DecodeResult:
    """A text that stayed doubtful, up to a repetition that nobody can have said in `audio_s` seconds."""
    if result.verdict not in (Verdict.LOOP, Verdict.BROKEN):
        return result
    text = truncate_repetition(result.text, audio_s)
    return replace(result, text=text, words=result.words[: len(text.split())])


def is_believable(result: DecodeResult, *, is_speech_clear: bool) -> bool:
    """Whether a text stands: an improbable one needs audio in which somebody speaks beyond doubt.

    Of noises that are taken for doubtful speech, decoders write improbable sentences in any language.
    """
    is_improbable = (
        result.verdict is not Verdict.OK
        or result.avg_logprob < _PROBABLE_AVG_LOGPROB
        or result.no_speech_prob > MAX_NO_SPEECH_PROB
    )
    return is_speech_clear or not is_improbable


def silenced(result: DecodeResult) -> DecodeResult:
    """No text, where a text stayed doubtful and the decoder hears nobody: noise makes it write in any language."""
    is_doubtful = result.verdict in (Verdict.LOOP, Verdict.BROKEN)
    if is_doubtful and result.no_speech_prob > MAX_NO_SPEECH_PROB:
        return replace(result, text="", words=(), verdict=Verdict.SILENCE)
    return result


def _without_loop(evidence: DecodeEvidence, request: DecodeRequest, align: Align) -> DecodeResult:
    """The text before its repetition, unless the repetition has a duration of its own and was spoken."""
    text = evidence.text.split()
    cut = loop_start(text)
    assert cut is not None
    words = align() if request.allow_fallback or request.word_timestamps else ()
    if not request.allow_fallback:
        return DecodeResult(" ".join(text[:cut]), evidence.avg_logprob, Verdict.OK, words[:cut])
    is_aligned = len(words) == len(text)
    if is_aligned:
        starts_s = [word.start_s for word in words]
        spoken = max(cut, spoken_words([word.end_s - word.start_s for word in words]))
        if spoken > cut and has_zero_duration(starts_s[:spoken], words[spoken - 1].end_s, cut):
            spoken = cut
        text, words = text[:spoken], words[:spoken]
    # A whole clause with a duration of its own was said twice; of a few words nobody can tell.
    is_doubtful = len(text) > cut and (cut < _AMBIGUOUS_WORDS or not is_aligned or evidence.hit_token_limit)
    verdict = Verdict.LOOP if is_doubtful else Verdict.OK
    return DecodeResult(" ".join(text), evidence.avg_logprob, verdict, words)
