"""Joins Transcribe's results into the transcript of one utterance; positions are samples on the stream."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.domain.audio import ms
from app.domain.transcript import Hypothesis, Word, join

_ROUNDING = ms(20)
"""How far the service may round the position it has listened to."""

_DECAY = ms(100)
"""How long a sound may ring on behind the word that made it."""


@dataclass(frozen=True, slots=True)
class ResultItem:
    """A word or a punctuation mark."""

    text: str
    start: int
    end: int
    is_punctuation: bool = False
    is_stable: bool = True
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class TranscribeResult:
    """The service's newest hypothesis of one of its segments; a later one with the same id replaces it."""

    id: str
    end: int
    """How far the service had listened."""

    is_partial: bool
    text: str
    items: tuple[ResultItem, ...]

    @property
    def is_stable(self) -> bool:
        """True where none of its words will change any more."""
        return not self.is_partial or all(item.is_stable for item in self.items if not item.is_punctuation)

    def starting_at(self, position: int) -> "TranscribeResult":
        """The part of this result that was said from `position` on.

        A segment may span two utterances of one stream. A word belongs to the utterance it ends in, for a recogniser
        may stretch a first word back over the silence before it. A mark belongs to the word before it.
        """
        first = next(
            (n for n, item in enumerate(self.items) if not item.is_punctuation and item.end > position),
            len(self.items),
        )
        if first == 0:
            return self
        items = self.items[first:]
        return replace(self, items=items, text=_text_of(items))


@dataclass(frozen=True, slots=True)
class UtteranceTranscript:
    """What is known of an utterance that began at `origin` on the stream."""

    origin: int
    results: tuple[TranscribeResult, ...] = ()

    def accept(self, result: TranscribeResult) -> "UtteranceTranscript":
        """With this result, in the place of the older one of its segment."""
        ours = result.starting_at(self.origin)
        known = [old.id for old in self.results]
        if ours.id in known:
            at = known.index(ours.id)
            return UtteranceTranscript(self.origin, (*self.results[:at], ours, *self.results[at + 1 :]))
        return UtteranceTranscript(self.origin, (*self.results, ours)) if ours.items else self

    @property
    def items(self) -> tuple[ResultItem, ...]:
        return tuple(item for result in self.results for item in result.items)

    @property
    def text(self) -> str:
        return join(result.text for result in self.results)

    def is_complete(self, *, speech_end: int, end: int) -> bool:
        """True where nothing more is to come: every word is stable, and the words reach to the end.

        The end is reached when the service has listened to `end`, the last sample of the utterance, or when its last
        word stands where the sound stopped. No words at all prove nothing.
        """
        if not self.items or not all(result.is_stable for result in self.results):
            return False
        listened_to = max(result.end for result in self.results)
        last_word_end = max(item.end for item in self.items)
        return listened_to + _ROUNDING >= end or last_word_end + _DECAY >= speech_end

    def hypothesis(self, *, language: str, is_final: bool = False) -> Hypothesis:
        """Our hypothesis, with word times counted from the utterance's first sample."""
        words = [item for item in self.items if not item.is_punctuation]
        known = [item.confidence for item in words if item.confidence is not None]
        return Hypothesis(
            text=self.text,
            is_final=is_final,
            words=tuple(self._word(item) for item in words),
            language=language,
            confidence=sum(known) / len(known) if known else None,
        )

    def _word(self, item: ResultItem) -> Word:
        start = max(0, item.start - self.origin)
        probability = 1.0 if item.confidence is None else item.confidence
        return Word(item.text, start, max(start, item.end - self.origin), probability)


def _text_of(items: Iterable[ResultItem]) -> str:
    return "".join(item.text if item.is_punctuation else f" {item.text}" for item in items).strip()
