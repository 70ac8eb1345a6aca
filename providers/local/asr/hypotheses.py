"""Decoded results as hypotheses of the domain: words timed in samples, several pieces joined into one final."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.language import only_language
from app.domain.transcript import Hypothesis, Word, join
from providers.local.asr.left_context import ContextAudio
from providers.local.asr.recognizer import DecodeResult, TimedWord


def final_hypothesis(result: DecodeResult, start: int) -> Hypothesis:
    """A final whose words are timed in samples; the audio began at sample `start` of the utterance."""
    is_whole = _letters(word.text for word in result.words) == _letters(result.text)
    words = tuple(
        Word(
            word.text.strip(),
            start + int(word.start_s * SAMPLE_RATE),
            start + int(word.end_s * SAMPLE_RATE),
            word.probability,
        )
        for word in (result.words if is_whole else ())
    )
    return Hypothesis(result.text, is_final=True, words=words, language=result.language, confidence=result.confidence)


def without_context(result: DecodeResult, context: ContextAudio, text: str | None) -> DecodeResult:
    """The result of an utterance that was decoded behind `context`, of which `text` is what it added."""
    words, before_s = list[TimedWord](), len(context.pcm) / BYTES_PER_SAMPLE / SAMPLE_RATE
    if text:
        first = len(result.words) - len(text.split())
        for word in result.words[first:] if first >= 0 else ():
            start_s = max(0.0, word.start_s - before_s)
            words.append(replace(word, start_s=start_s, end_s=max(start_s, word.end_s - before_s)))
    return replace(result, text=text or "", words=tuple(words))


def joined_final(pieces: Sequence[Hypothesis], language: str | None) -> Hypothesis:
    """Several pieces as one final, whose confidence is that of its least confident piece."""
    with_text = [piece for piece in pieces if piece.text]
    return Hypothesis(
        join(piece.text for piece in with_text),
        is_final=True,
        words=tuple(word for piece in with_text for word in piece.words),
        language=only_language(language) or next((piece.language for piece in with_text), None),
        confidence=min((piece.confidence for piece in with_text if piece.confidence is not None), default=None),
    )


def _letters(texts: Iterable[str]) -> str:
    """Letters and digits alone: a repaired text may have lost a mark that its words have."""
    return "".join(sign for text in texts for sign in text.casefold() if sign.isalnum())
