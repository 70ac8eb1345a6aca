"""The header of a WAV file."""

import struct

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE

WAV_HEADER_BYTES = 44
_LARGEST = 0xFFFFFFFF


ENDLESS = 1 << 40
"""Samples of a file whose length is not known: both lengths in its header are the largest there are."""


def wav_header(samples: int, rate: int = SAMPLE_RATE) -> bytes:
    """The 44 bytes before this many samples of mono PCM16; lengths beyond 4 GiB are given as 4 GiB - 1."""
    length = samples * BYTES_PER_SAMPLE
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", min(WAV_HEADER_BYTES - 8 + length, _LARGEST), b"WAVE",
        b"fmt ", 16, 1, 1, rate, rate * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE, 8 * BYTES_PER_SAMPLE,
        b"data", min(length, _LARGEST),
    )  # fmt: skip
