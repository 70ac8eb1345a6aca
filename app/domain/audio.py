"""Audio inside the service: 16 kHz mono signed 16-bit little-endian PCM, in chunks with sample positions."""

from collections.abc import Iterator
from dataclasses import dataclass

SAMPLE_RATE = 16_000
"""Samples per second, everywhere inside the service."""

BYTES_PER_SAMPLE = 2


def ms(milliseconds: int) -> int:
    """A duration in milliseconds, as samples."""
    return milliseconds * SAMPLE_RATE // 1000


def seconds(samples: int) -> float:
    """A number of samples, as seconds."""
    return samples / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of a stream with its position, counted in samples."""

    pcm: bytes
    """Whole samples: the length is a multiple of BYTES_PER_SAMPLE."""

    start: int
    """Samples between the stream's first sample and this chunk's first."""

    @property
    def samples(self) -> int:
        return len(self.pcm) // BYTES_PER_SAMPLE

    @property
    def end(self) -> int:
        """The position after the last sample."""
        return self.start + self.samples


def split_audio(audio: AudioChunk, samples: int) -> Iterator[AudioChunk]:
    """The same audio in chunks of `samples`, the last one shorter; none where there is no audio."""
    for at in range(0, audio.samples, samples):
        pcm = audio.pcm[at * BYTES_PER_SAMPLE : (at + samples) * BYTES_PER_SAMPLE]
        yield AudioChunk(pcm, audio.start + at)


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk with its speech probability."""

    chunk: AudioChunk
    speech: float
    """Probability, 0 to 1."""
    level_db: float | None = None
    """Its level in dB below full scale; None: not measured."""
    may_echo: bool = True
    """False where it is known that the microphone does not hear what is played."""


@dataclass(frozen=True, slots=True)
class PreRoll:
    """The newest audio before speech was detected, because detection lags behind the start of speech."""

    length: int
    """Samples to keep; at least one chunk stays, however long it is."""

    chunks: tuple[AudioChunk, ...] = ()

    def push(self, chunk: AudioChunk) -> "PreRoll":
        kept = (*self.chunks, chunk)
        first = next(i for i, old in enumerate(kept) if old.end > chunk.end - self.length)
        return PreRoll(self.length, kept[first:])

    def clear(self) -> "PreRoll":
        return PreRoll(self.length)
