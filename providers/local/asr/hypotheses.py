"""Decoded results as hypotheses of the domain: words timed in samples, several pieces joined into one final."""

from collections.abc import Sequence

from app.domain.audio import SAMPLE_RATE
from app.domain.transcript import Hypothesis, Word, join
from providers.local.asr.recognizer import DecodeResult


def final_hypothesis(result: DecodeResult, start: int) -> Hypothesis:
    """A final whose words are timed in samples; the audio began at sample `start` of the utterance."""
    words = tuple(
        Word(
            word.text.strip(),
            start + int(word.start_s * SAMPLE_RATE),
            start + int(word.end_s * SAMPLE_RATE),
            word.probability,
        )
        for word in result.words
    )
    return Hypothesis(result.text, is_final=True, words=words, language=result.language, confidence=result.confidence)


def joined_final(pieces: Sequence[Hypothesis], language: str | None) -> Hypothesis:
    """Several pieces as one final, whose confidence is that of its least confident piece."""
    with_text = [piece for piece in pieces if piece.text]
    return Hypothesis(
        join(piece.text for piece in with_text),
        is_final=True,
        words=tuple(word for piece in with_text for word in piece.words),
        language=language or next((piece.language for piece in with_text), None),
        confidence=min((piece.confidence for piece in with_text if piece.confidence is not None), default=None),
    )
