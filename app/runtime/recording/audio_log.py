"""Records of audio in the session log: the position of the first sample (8 bytes, little-endian), then PCM16."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.audio import BYTES_PER_SAMPLE

_POSITION_BYTES = 8


def audio_record(start: int, pcm: bytes) -> bytes:
    """Audio that begins at the session's sample `start`, as one record."""
    return start.to_bytes(_POSITION_BYTES, "little") + pcm


@dataclass(frozen=True, slots=True)
class AssembledAudio:
    pcm: bytes
    lost: tuple[tuple[int, int], ...]
    """Samples [start, end) that are silence because their record was damaged."""


def assemble(records: Sequence[bytes], start: int, end: int | None) -> AssembledAudio:
    """The audio from sample `start` on, to `end` where it is known, each sample in its place."""
    pcm = bytearray()
    lost: list[tuple[int, int]] = []
    for record in records:
        _fill(pcm, lost, start, int.from_bytes(record[:_POSITION_BYTES], "little"))
        pcm += record[_POSITION_BYTES:]
    if end is not None:
        _fill(pcm, lost, start, end)
    return AssembledAudio(bytes(pcm), tuple(lost))


def _fill(pcm: bytearray, lost: list[tuple[int, int]], start: int, to: int) -> None:
    here = start + len(pcm) // BYTES_PER_SAMPLE
    if here < to:
        lost.append((here, to))
        pcm += bytes((to - here) * BYTES_PER_SAMPLE)
