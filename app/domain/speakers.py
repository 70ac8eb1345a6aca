"""Speaker labels: which utterances of a session one voice has spoken, by online clustering of speaker embeddings. Pure.

An embedding is a direction: those of one voice point the same way. Each utterance is compared with the mean of every
speaker so far; the nearest one has spoken it, unless all are too far away, and then somebody new has.
"""

from dataclasses import dataclass, replace
from math import sqrt
from typing import TypeAlias

from app.domain.audio import SAMPLE_RATE

Embedding: TypeAlias = tuple[float, ...]
"""The voice of one utterance, of unit length."""

MAX_DISTANCE = 0.38
"""Cosine distance from a speaker's mean up to which a voice is that speaker's; `bench/speakers.py` has chosen it."""

MIN_SPEECH = 3 * SAMPLE_RATE // 2
"""Samples of speech from which an embedding is good enough to make a new speaker, or to change one's mean."""

MAX_SPEAKERS = 16
"""Of one session or file; with so many there is no new one."""


@dataclass(frozen=True, slots=True)
class KnownSpeaker:
    """One voice of the session."""

    total: Embedding
    """The sum of its embeddings."""

    def distance(self, embedding: Embedding) -> float:
        """1 - cosine of the angle to the mean: 0 to 2."""
        return 1.0 - _dot(self.total, embedding) / (sqrt(_dot(self.total, self.total)) or 1.0)

    def joined_by(self, embedding: Embedding) -> "KnownSpeaker":
        return KnownSpeaker(tuple(one + other for one, other in zip(self.total, embedding, strict=True)))


@dataclass(frozen=True, slots=True)
class Speakers:
    """The speakers of a session or file, in the order in which they spoke first."""

    known: tuple[KnownSpeaker, ...] = ()
    max_distance: float = MAX_DISTANCE
    min_speech: int = MIN_SPEECH

    def label(self, embedding: Embedding, speech: int) -> "tuple[Speakers, int | None]":
        """The speaker of an utterance with so many samples of speech, from 1, and the speakers after it.

        None: it is too short to tell a new voice from a known one that sounds different, or there are too many.
        """
        distances = [speaker.distance(embedding) for speaker in self.known]
        nearest = min(range(len(distances)), key=distances.__getitem__, default=None)
        if nearest is not None and distances[nearest] <= self.max_distance:
            joined = self.known[nearest].joined_by(embedding)
            known = (*self.known[:nearest], joined, *self.known[nearest + 1 :])
            return (replace(self, known=known) if speech >= self.min_speech else self), nearest + 1
        if speech < self.min_speech or len(self.known) >= MAX_SPEAKERS:
            return self, None
        return replace(self, known=(*self.known, KnownSpeaker(embedding))), len(self.known) + 1


def _dot(one: Embedding, other: Embedding) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
