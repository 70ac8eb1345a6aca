"""A segment of speech in a recording."""

from dataclasses import dataclass

from app.domain.transcript import Word


@dataclass(frozen=True, slots=True)
class Segment:
    """Speech in a recording, and its text."""

    start: int
    """Samples from the recording's first."""
    end: int
    text: str
    language: str | None = None
    words: tuple[Word, ...] = ()
    """Timed in samples from the recording's first; empty where the engine gave none."""
    speaker: int | None = None
    """Speaker label, from 1."""
