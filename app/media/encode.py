"""PCM as FLAC, Ogg Opus or MP3, into a file as it comes, or in memory."""

import io
from dataclasses import dataclass
from typing import BinaryIO, cast

import av
import numpy as np

from app.domain.audio import SAMPLE_RATE

CONTENT_TYPE = {"flac": "audio/flac", "opus": "audio/ogg", "mp3": "audio/mpeg", "wav": "audio/wav"}


@dataclass(frozen=True, slots=True)
class _Format:
    container: str
    codec: str
    sample_format: str
    frame_samples: int
    bit_rate: int | None = None


_FORMATS = {
    "flac": _Format("flac", "flac", "s16", 4096),
    "opus": _Format("ogg", "libopus", "s16", 320, 32_000),
    "mp3": _Format("mp3", "libmp3lame", "s16p", 1152, 48_000),
}


class AudioEncoder:
    """Encodes mono PCM16 into a file, piece by piece. Blocking; one thread at a time."""

    def __init__(self, out: BinaryIO, audio: str, *, rate: int = SAMPLE_RATE) -> None:
        self._format = _FORMATS[audio]
        self._rate = rate
        self._container = av.open(out, "w", format=self._format.container)
        self._stream = cast(
            av.AudioStream,
            self._container.add_stream(self._format.codec, rate=rate, layout="mono", format=self._format.sample_format),
        )
        if self._format.bit_rate:
            self._stream.bit_rate = self._format.bit_rate
        self._fifo = av.AudioFifo()

    def write(self, pcm: bytes) -> None:
        """Whole samples; what does not fill a frame of the codec waits for the next call."""
        if not pcm:
            return
        samples = np.frombuffer(pcm, "<i2")[np.newaxis]
        frame = av.AudioFrame.from_ndarray(samples, format=self._format.sample_format, layout="mono")
        frame.sample_rate = self._rate
        self._fifo.write(frame)
        while (full := self._fifo.read(self._format.frame_samples)) is not None:
            self._container.mux(self._stream.encode(full))

    def finish(self) -> None:
        """Write what is left and the end of the file; the file itself stays open."""
        if (rest := self._fifo.read(self._format.frame_samples, partial=True)) is not None:
            self._container.mux(self._stream.encode(rest))
        self._container.mux(self._stream.encode(None))
        self._container.close()


def encode(pcm: bytes, audio: str, *, rate: int = SAMPLE_RATE) -> bytes:
    """Mono PCM16 as one file of this format, in memory. Blocking."""
    out = io.BytesIO()
    encoder = AudioEncoder(out, audio, rate=rate)
    encoder.write(pcm)
    encoder.finish()
    return out.getvalue()


def encode_mp3(pcm: bytes, *, rate: int = SAMPLE_RATE) -> bytes:
    """Mono PCM16 as an MP3 file of the same length; no audio gives no bytes. Blocking."""
    return encode(pcm, "mp3", rate=rate) if pcm else b""
