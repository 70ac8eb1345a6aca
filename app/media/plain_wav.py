"""WAV files that already hold 16 kHz mono PCM16 are read without a decoder: what gateways send to workers."""

from collections.abc import Callable, Iterator
from os import SEEK_END
from typing import BinaryIO

from app.domain.audio import SAMPLE_RATE

_FORMAT = (
    b"\x01\x00\x01\x00" + SAMPLE_RATE.to_bytes(4, "little") + (2 * SAMPLE_RATE).to_bytes(4, "little") + b"\x02\0\x10\0"
)
"""PCM, one channel, the rate, bytes per second, bytes per sample, bits per sample."""
_MAX_CHUNKS = 32
_PIECE = 2 * SAMPLE_RATE
"""Bytes: a second of audio."""
_MAX_SKIPPED = 1 << 18


def read_plain_wav(file: BinaryIO, *, on_length: Callable[[int], None] = lambda _: None) -> Iterator[bytes] | None:
    """Its samples, piece by piece; None where the file is anything else. `on_length` gets how many. Blocking."""
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    plain = False
    for _ in range(_MAX_CHUNKS):
        name, size = file.read(4), int.from_bytes(file.read(4), "little")
        if name == b"fmt ":
            plain = size >= len(_FORMAT) and file.read(len(_FORMAT)) == _FORMAT
            file.seek(size + size % 2 - len(_FORMAT), 1)
        elif name == b"data":
            if not plain:
                return None
            size = min(size, _remaining(file))
            on_length(size // 2)
            return _samples(file, size)
        elif len(name) < 4 or size > _MAX_SKIPPED:
            return None
        else:
            file.seek(size + size % 2, 1)
    return None


def _remaining(file: BinaryIO) -> int:
    """Bytes that the file still has: a stream's header may promise too much."""
    at = file.tell()
    end = file.seek(0, SEEK_END)
    file.seek(at)
    return end - at


def _samples(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Whole samples, of `size` bytes."""
    while size > 1 and len(piece := file.read(min(size, _PIECE))) > 1:
        yield piece[: len(piece) - len(piece) % 2]
        size -= len(piece)
