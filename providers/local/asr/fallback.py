"""Sound to words: a fast pass, and more context only where the fast one went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

from providers.local.asr.context_schedule import DRAFT_MARGIN, MARGIN, context_schedule
from providers.local.asr.decode import (
    DecodePass,
    DecodeRequest,
    Encoded,
    PreparedRequest,
    TimedWord,
    align,
    asked_in_its_language,
    encode,
    generate,
    rows,
)
from providers.local.asr.hallucination import (
    Verdict,
    has_zero_duration,
    judge,
    loop_start,
    restarts_at,
    truncate_repetition,
)
from providers.local.asr.whisper_model import WhisperModel
from providers.local.mel import scaled


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """What one stretch of sound was taken for."""

    text: str = ""
    log_probability: float = 0.0
    verdict: Verdict = Verdict.SILENCE
    words: tuple[TimedWord, ...] = ()
    passes: int = 0
    """Times the encoder ran."""

    language: str | None = None

    @property
    def confidence(self) -> float:
        return exp(min(0.0, self.log_probability))


def decode(model: WhisperModel, asks: Sequence[DecodeRequest]) -> list[DecodeResult]:
    """Answer all asks; several share their first pass and climb on alone."""
    frames = max(_ladder(ask)[0] for ask in asks)
    encoded = encode(model, [scaled(ask.power, frames) for ask in asks])
    parts = [encoded] if len(asks) == 1 else rows(model, encoded)
    asked = [asked_in_its_language(model, ask, part) for ask, part in zip(asks, parts, strict=True)]
    if len({len(one.start) for one in asked}) == 1:
        first = generate(model, encoded, asked)
    else:
        # A batch wants prompts of one length: where they differ only the encoder was shared.
        first = [generate(model, part, [one])[0] for part, one in zip(parts, asked, strict=True)]
    return [
        decode_with_fallback(
            model, one, part, heard, (frames, *(wider for wider in _ladder(one.ask) if wider > frames))
        )
        for one, part, heard in zip(asked, parts, first, strict=True)
    ]


def _ladder(ask: DecodeRequest) -> tuple[int, ...]:
    return context_schedule(ask.power.shape[1], MARGIN if ask.careful else DRAFT_MARGIN)


def decode_with_fallback(
    model: WhisperModel, asked: PreparedRequest, encoded: Encoded, first: DecodePass, contexts: Sequence[int]
) -> DecodeResult:
    """Believe the pass made in the first of these contexts, or mend it, or climb to the next."""
    best = _mended(model, asked, encoded, first)
    passes = 1
    plain = replace(asked, prefix=(), ask=replace(asked.ask, prompt=()))
    if asked.ask.careful and asked.ask.prompt and best.verdict is not Verdict.SANE:
        # A prompt can lead a small model astray; the sound alone may say more.
        best = _mended(model, plain, encoded, generate(model, encoded, [plain])[0])
    for wider in contexts[1:] if asked.ask.careful else ():
        if best.verdict in (Verdict.SANE, Verdict.SILENCE):
            break
        encoded = encode(model, [scaled(asked.ask.power, wider)])
        tried = _mended(model, plain, encoded, generate(model, encoded, [plain])[0])
        passes += 1
        better = tried.log_probability > best.log_probability or best.verdict is Verdict.LOOP
        if tried.verdict in (Verdict.SANE, Verdict.SILENCE) or better:
            best = tried
    if best.verdict in (Verdict.LOOP, Verdict.BROKEN):
        text = truncate_repetition(best.text, asked.ask.seconds)
        best = replace(best, text=text, words=best.words[: len(text.split())])
    return replace(best, passes=passes, language=asked.tokenizer.language_code)


def _mended(model: WhisperModel, asked: PreparedRequest, encoded: Encoded, heard: DecodePass) -> DecodeResult:
    """The pass as words; a loop that takes no time is cut off."""
    evidence = heard.evidence
    verdict = judge(evidence)
    if verdict is Verdict.LOOP:
        return _without_loop(model, asked, encoded, heard)
    if verdict is Verdict.SILENCE:
        return DecodeResult("", evidence.log_probability, verdict)
    words = align(model, asked, encoded, heard.tokens) if asked.ask.timed else ()
    spoken = evidence.text.split()
    if not asked.ask.careful and (cut := restarts_at(spoken)) is not None:
        return DecodeResult(" ".join(spoken[:cut]), evidence.log_probability, verdict, words[:cut])
    return DecodeResult(evidence.text, evidence.log_probability, verdict, words)


def _without_loop(model: WhisperModel, asked: PreparedRequest, encoded: Encoded, heard: DecodePass) -> DecodeResult:
    """What stands before the loop, if the loop was not truly said."""
    spoken = heard.evidence.text.split()
    cut = loop_start(spoken)
    assert cut is not None
    words = align(model, asked, encoded, heard.tokens) if asked.ask.careful or asked.ask.timed else ()
    sure = heard.evidence.log_probability
    if asked.ask.careful:
        placed = len(words) == len(spoken)
        if not placed or not has_zero_duration([word.start for word in words], words[-1].end, cut):
            # A whole clause with time of its own was said twice; of one or two words nobody can tell.
            doubtful = cut < 4 or not placed or heard.evidence.ran_on
            return DecodeResult(heard.evidence.text, sure, Verdict.LOOP if doubtful else Verdict.SANE, words)
    return DecodeResult(" ".join(spoken[:cut]), sure, Verdict.SANE, words[:cut])
