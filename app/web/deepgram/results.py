"""Finals and drafts as Deepgram's alternatives: text, words with times, confidence. Times in seconds of the stream."""

from collections.abc import Sequence
from typing import Any

from app.domain.audio import SAMPLE_RATE
from app.domain.transcript import Word, bare_word

MODEL = {"name": "parley", "version": "1", "arch": "parley"}
MODEL_UUID = "00000000-0000-0000-0000-000000000000"


def alternative(
    text: str, words: Sequence[Word], start: int, end: int, *, offset: int = 0, confidence: float | None = None
) -> dict[str, Any]:
    """Words count from the sample `offset`; where the engine gives none they are spread over [start, end)."""
    timed = [_word(word.text, word.start + offset, word.end + offset, word.probability) for word in words]
    if not timed:
        timed = spread(text, start, end, confidence)
    known = confidence
    if known is None and timed:
        known = sum(word["confidence"] for word in timed) / len(timed)
    return {"transcript": text, "confidence": round(known or 0.0, 4), "words": timed}


def spread(text: str, start: int, end: int, confidence: float | None) -> list[dict[str, Any]]:
    """The words of a text over a stretch of audio, each by its length: clients judge barge-in by the last one's end."""
    words = text.split()
    letters = sum(map(len, words)) or 1
    timed, at = [], float(start)
    for word in words:
        until = at + (end - start) * len(word) / letters
        timed.append(_word(word, round(at), round(until), 1.0 if confidence is None else confidence))
        at = until
    return timed


def in_seconds(samples: int) -> float:
    return round(samples / SAMPLE_RATE, 3)


def _word(text: str, start: int, end: int, confidence: float) -> dict[str, Any]:
    return {
        "word": bare_word(text) or text,
        "start": in_seconds(start),
        "end": in_seconds(end),
        "confidence": round(confidence, 4),
        "punctuated_word": text,
    }
