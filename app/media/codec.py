"""The formats a recording's sound may have."""

import io
import struct
from collections.abc import Iterable
from typing import BinaryIO, cast

import av
import numpy as np

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.media.decode import decode
from app.media.flac import encode_flac

CONTENT_TYPE = {"flac": "audio/flac", "opus": "audio/ogg", "mp3": "audio/mpeg", "wav": "audio/wav"}
_BIT_RATE = {"opus": 32_000, "mp3": 48_000}
_CONTAINER = {"flac": "flac", "opus": "ogg", "mp3": "mp3"}
_CODEC = {"flac": "flac", "opus": "libopus", "mp3": "libmp3lame"}
_SAMPLES = {"flac": "s16", "opus": "s16", "mp3": "s16p"}
_FRAME = {"flac": 4096, "opus": 320, "mp3": 1152}


def encode(pcm: bytes, audio: str) -> bytes:
    """16 kHz mono PCM16 in this format. Blocking."""
    if audio == "flac":
        return encode_flac(pcm)
    out = io.BytesIO()
    write(out, [pcm], audio)
    return out.getvalue()


def write(out: BinaryIO, pieces: Iterable[bytes], audio: str) -> None:
    """The same, piece by piece, into a file. Blocking."""
    with av.open(out, "w", format=_CONTAINER[audio]) as container:
        stream = cast(
            av.AudioStream,
            container.add_stream(_CODEC[audio], rate=SAMPLE_RATE, layout="mono", format=_SAMPLES[audio]),
        )
        if audio in _BIT_RATE:
            stream.bit_rate = _BIT_RATE[audio]
        fifo = av.AudioFifo()
        for pcm in pieces:
            if not pcm:
                continue
            frame = av.AudioFrame.from_ndarray(
                np.frombuffer(pcm, "<i2")[np.newaxis], format=_SAMPLES[audio], layout="mono"
            )
            frame.sample_rate = SAMPLE_RATE
            fifo.write(frame)
            while (part := fifo.read(_FRAME[audio])) is not None:
                container.mux(stream.encode(part))
        if (part := fifo.read(_FRAME[audio], partial=True)) is not None:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def decode_chunk(blob: bytes, samples: int) -> bytes:
    """PCM of exactly so many samples: what a lossy codec adds at the end is cut, what it lacks is silence. Blocking."""
    pcm = b"".join(decode(io.BytesIO(blob)))
    return pcm[: samples * BYTES_PER_SAMPLE].ljust(samples * BYTES_PER_SAMPLE, b"\0")


def wav_header(samples: int) -> bytes:
    """The 44 bytes before so many samples of 16 kHz mono PCM16."""
    length = samples * BYTES_PER_SAMPLE
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", min(36 + length, 0xFFFFFFFF), b"WAVE",
        b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE, 16,
        b"data", min(length, 0xFFFFFFFF),
    )  # fmt: skip
