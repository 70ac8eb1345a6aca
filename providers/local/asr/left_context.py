"""Left context of an utterance: the audio and text of the utterances that its session spoke just before. Pure.

A pause ends an utterance sooner than a sentence, and half a sentence alone is hard to recognize.
"""

from dataclasses import dataclass

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE

_MAX_SAMPLES = 10 * SAMPLE_RATE
"""Samples decoded together, the new utterance included: longer speech has context enough of its own."""

_MAX_GAP = 3 * SAMPLE_RATE
"""Samples of silence after which speech is not a continuation."""


@dataclass(frozen=True, slots=True)
class PreviousUtterance:
    """An utterance that was transcribed."""

    start: int
    """Samples since the session began."""

    pcm: bytes
    language: str | None
    """That it was decoded in."""

    text: str

    @property
    def end(self) -> int:
        return self.start + len(self.pcm) // BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class ContextAudio:
    """Audio that ends where an utterance begins (16 kHz mono s16le), and what was said in it."""

    pcm: bytes = b""
    text: str = ""


@dataclass(frozen=True, slots=True)
class LeftContext:
    """The newest utterances of a session, oldest first."""

    utterances: tuple[PreviousUtterance, ...] = ()

    def before(self, start: int, samples: int, language: str | None) -> ContextAudio:
        """The context of an utterance of `samples` samples that begins at `start`, with its pauses as silence."""
        context, end = ContextAudio(), start + samples
        for one in reversed(self.utterances):
            if one.start >= start:  # an earlier transcription of this same utterance
                continue
            if end - one.start > _MAX_SAMPLES or start - one.end > _MAX_GAP or one.language != language:
                break
            pause = bytes(BYTES_PER_SAMPLE * max(0, start - one.end))
            context = ContextAudio(one.pcm + pause + context.pcm, f"{one.text} {context.text}".strip())
            start = one.start
        return context

    def add(self, new: PreviousUtterance) -> "LeftContext":
        """With one more utterance, which replaces an earlier transcription of itself."""
        kept = tuple(one for one in self.utterances if one.start < new.start and new.end - one.start <= _MAX_SAMPLES)
        return LeftContext((*kept, new) if new.text and new.end - new.start <= _MAX_SAMPLES else kept)


def strip_context(context: str, text: str) -> str | None:
    """`text` without the context's text at its beginning; None if it does not begin with it or adds nothing."""
    if not text.startswith(context):
        return None
    return text[len(context) :].lstrip(" .,;:!?…") or None
