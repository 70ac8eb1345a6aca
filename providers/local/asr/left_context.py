"""What a session said just before, heard again in front of what it says now.

A pause ends an utterance sooner than a sentence, and half a sentence is hard to understand alone.
"""

from dataclasses import dataclass

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE

_LONGEST = 10 * SAMPLE_RATE
"""Samples heard at once, the new ones included: longer speech has context enough of its own."""

_APART = 3 * SAMPLE_RATE
"""Samples of silence after which what is said is something new."""


@dataclass(frozen=True, slots=True)
class PreviousUtterance:
    """An utterance that was written down."""

    start: int
    """Samples between the session's first and this one's."""

    pcm: bytes
    language: str | None
    text: str

    @property
    def end(self) -> int:
        return self.start + len(self.pcm) // BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class ContextAudio:
    """The sound up to where an utterance begins, and its words."""

    pcm: bytes = b""
    text: str = ""


@dataclass(frozen=True, slots=True)
class LeftContext:
    """The newest utterances of a session, oldest first."""

    said: tuple[PreviousUtterance, ...] = ()

    def lead(self, start: int, samples: int, language: str | None) -> ContextAudio:
        """What leads up to an utterance of so many samples that begins there; pauses last as long as they did."""
        lead, end = ContextAudio(), start + samples
        for one in reversed(self.said):
            if one.start >= start:  # an earlier hearing of this same utterance
                continue
            if end - one.start > _LONGEST or start - one.end > _APART or one.language != language:
                break
            pause = bytes(BYTES_PER_SAMPLE * max(0, start - one.end))
            lead = ContextAudio(one.pcm + pause + lead.pcm, f"{one.text} {lead.text}".strip())
            start = one.start
        return lead

    def and_then(self, new: PreviousUtterance) -> "LeftContext":
        """With one more; another hearing of the newest takes its place."""
        kept = tuple(one for one in self.said if one.start < new.start and new.end - one.start <= _LONGEST)
        return LeftContext((*kept, new) if new.text and new.end - new.start <= _LONGEST else kept)


def strip_context(before: str, text: str) -> str | None:
    """What a text that goes on behind `before` adds to it; None where it does not go on, or adds nothing."""
    if not text.startswith(before):
        return None
    return text[len(before) :].lstrip(" .,;:!?…") or None
