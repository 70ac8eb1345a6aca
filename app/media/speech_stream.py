"""Speech as the bytes of an audio file that is sent while it is spoken: no length in its head, no seeking back."""

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, assert_never, cast

import av
import numpy as np

from app.domain.audio import SAMPLE_RATE
from app.domain.recording.wav import ENDLESS, wav_header
from app.media.g711 import Law, encode_g711
from app.media.resampling import RateConverter
from app.media.tempo import TempoChange

Encoding: TypeAlias = Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "mulaw", "alaw"]


@dataclass(frozen=True, slots=True)
class _Codec:
    container: str
    codec: str
    sample_format: str
    frame_samples: int
    media_type: str
    bit_rate: int | None = None
    options: tuple[tuple[str, str], ...] = ()


_CODECS = {
    "mp3": _Codec(
        "mp3", "libmp3lame", "s16p", 576, "audio/mpeg", 64_000, (("write_xing", "0"), ("id3v2_version", "0"))
    ),
    "opus": _Codec("ogg", "libopus", "s16", 480, "audio/ogg", 32_000, (("page_duration", "20000"),)),
    "aac": _Codec("adts", "aac", "fltp", 1024, "audio/aac", 64_000),
    "flac": _Codec("flac", "flac", "s16", 1152, "audio/flac"),
}
_WRITE_BYTES = 1024
"""FFmpeg passes on what it has written at the latest when it has so much."""


def media_type(encoding: Encoding, rate: int) -> str:
    """The content type of a body in this encoding."""
    if encoding in _CODECS:
        return _CODECS[encoding].media_type
    return {
        "wav": "audio/wav",
        "pcm": f"audio/pcm;rate={rate};channels=1",
        "mulaw": f"audio/mulaw;rate={rate}",
        "alaw": f"audio/alaw;rate={rate}",
    }[encoding]


class _Writer(Protocol):
    def push(self, pcm: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class SpeechStream:
    """16 kHz mono PCM16 as a file in this encoding, at another rate and speed. Stateful, blocking; one per stream."""

    def __init__(self, encoding: Encoding, *, rate: int, speed: float = 1.0) -> None:
        self._tempo = TempoChange(speed, SAMPLE_RATE)
        self._converter = RateConverter(SAMPLE_RATE, rate)
        self._writer = _writer(encoding, rate)
        self.samples = 0
        """Pushed and, at `rate`, written so far."""

    def push(self, pcm: bytes) -> bytes:
        """What these samples add to the file; it may be nothing yet."""
        return self._written(self._converter.push(self._tempo.push(pcm)))

    def finish(self) -> bytes:
        """The end of the file."""
        rest = self._converter.push(self._tempo.finish()) + self._converter.flush()
        return self._written(rest) + self._writer.finish()

    def _written(self, pcm: bytes) -> bytes:
        self.samples += len(pcm) // 2
        return self._writer.push(pcm)


def _writer(encoding: Encoding, rate: int) -> _Writer:
    match encoding:
        case "pcm":
            return _Bare()
        case "wav":
            return _Bare(wav_header(ENDLESS, rate))
        case "mulaw":
            return _Telephony("ulaw")
        case "alaw":
            return _Telephony("alaw")
        case "mp3" | "opus" | "aac" | "flac":
            return _Encoded(_CODECS[encoding], rate)
        case _:
            assert_never(encoding)


@dataclass(slots=True)
class _Bare:
    """PCM behind a head, if there is one."""

    head: bytes = b""

    def push(self, pcm: bytes) -> bytes:
        if not pcm:
            return b""
        head, self.head = self.head, b""
        return head + pcm

    def finish(self) -> bytes:
        head, self.head = self.head, b""
        return head


@dataclass(slots=True)
class _Telephony:
    law: Law

    def push(self, pcm: bytes) -> bytes:
        return encode_g711(pcm, self.law)

    def finish(self) -> bytes:
        return b""


@dataclass(slots=True)
class _Sink:
    """A file that can be written to alone, so that FFmpeg never goes back to its head."""

    written: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self.written)
        self.written.clear()
        return taken


class _Encoded:
    """A codec of FFmpeg, a frame at a time."""

    def __init__(self, codec: _Codec, rate: int) -> None:
        self._codec, self._rate, self._sink = codec, rate, _Sink()
        options = {"flush_packets": "1", **dict(codec.options)}
        self._container = av.open(self._sink, "w", format=codec.container, options=options, buffer_size=_WRITE_BYTES)
        stream = self._container.add_stream(codec.codec, rate=rate, layout="mono", format=codec.sample_format)
        self._stream = cast(av.AudioStream, stream)
        if codec.bit_rate:
            self._stream.bit_rate = codec.bit_rate
        self._resampler = av.AudioResampler(format=codec.sample_format, layout="mono", rate=rate)
        self._fifo = av.AudioFifo()

    def push(self, pcm: bytes) -> bytes:
        if pcm:
            frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[np.newaxis], format="s16", layout="mono")
            frame.sample_rate = self._rate
            for converted in self._resampler.resample(frame):
                converted.pts = None
                self._fifo.write(converted)
            while (full := self._fifo.read(self._codec.frame_samples)) is not None:
                self._container.mux(self._stream.encode(full))
        return self._sink.take()

    def finish(self) -> bytes:
        if (rest := self._fifo.read(self._codec.frame_samples, partial=True)) is not None:
            self._container.mux(self._stream.encode(rest))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()
