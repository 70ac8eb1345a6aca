"""What a Deepgram client sends as audio, as the session's: bare samples, or a WAV file."""

import struct
from dataclasses import dataclass, field

import numpy as np

from app.domain.audio import AudioChunk
from app.domain.errors import ClientError, ClientFault
from app.media.g711 import decode_g711
from app.media.resampling import Resampler
from app.web.deepgram.query import LEAST_RATE, MOST_RATE, ListenEncoding

_BYTES = {"linear16": 2, "linear32": 4, "mulaw": 1, "alaw": 1}
_WAV_FORMATS: dict[tuple[int, int], ListenEncoding] = {
    (1, 16): "linear16",
    (1, 32): "linear32",
    (7, 8): "mulaw",
    (6, 8): "alaw",
}
_MAX_HEAD = 4096
"""Bytes of a WAV file before its audio."""


@dataclass(slots=True)
class StreamedAudio:
    """Stateful: one per stream. Pieces may end anywhere in a sample."""

    encoding: ListenEncoding | None
    """None: a WAV file."""
    rate: int
    channels: int
    _rest: bytes = b""
    _resampler: Resampler = field(default_factory=Resampler)

    def push(self, data: bytes) -> list[AudioChunk]:
        """Raises ClientError for what is no WAV file, where it must be one."""
        data, self._rest = self._rest + data, b""
        if self.encoding is None:
            body = self._begin(data)
            if body is None:
                self._rest = data
                return []
            data = body
        assert self.encoding is not None
        whole = len(data) - len(data) % (_BYTES[self.encoding] * self.channels)
        data, self._rest = data[:whole], data[whole:]
        return self._resampler.push(_mono(_pcm(data, self.encoding), self.channels), self.rate) if data else []

    def flush(self) -> list[AudioChunk]:
        """What the resampler holds, at the end of what is transcribed as a whole."""
        return self._resampler.flush()

    def _begin(self, data: bytes) -> bytes | None:
        """The audio behind the head, whose format is taken over; None while the head is not whole."""
        if len(data) >= 12 and (data[:4] != b"RIFF" or data[8:12] != b"WAVE"):
            raise _no_audio()
        at = 12
        while len(data) >= at + 8:
            name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
            if name == b"data":
                if self.encoding is None:
                    raise _no_audio()
                return data[at + 8 :]
            if name == b"fmt " and len(data) >= at + 24:
                kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", data[at + 8 : at + 24])
                self._take_format(kind, channels, rate, bits)
            at += 8 + size + size % 2
        if len(data) > _MAX_HEAD:
            raise _no_audio()
        self.encoding = None  # the head is read again when more of it has come
        return None

    def _take_format(self, kind: int, channels: int, rate: int, bits: int) -> None:
        encoding = _WAV_FORMATS.get((kind, bits))
        if encoding is None or not 1 <= channels <= 8 or not LEAST_RATE <= rate <= MOST_RATE:
            raise _no_audio()
        self.encoding, self.channels, self.rate = encoding, channels, rate


def _pcm(data: bytes, encoding: ListenEncoding) -> bytes:
    match encoding:
        case "linear16":
            return data
        case "linear32":
            return (np.frombuffer(data, "<i4") >> 16).astype("<i2").tobytes()
        case "mulaw":
            return decode_g711(data, "ulaw")
        case "alaw":
            return decode_g711(data, "alaw")


def _mono(pcm: bytes, channels: int) -> bytes:
    if channels == 1:
        return pcm
    samples = np.frombuffer(pcm, "<i2").reshape(-1, channels)
    mixed: bytes = samples.mean(axis=1).astype("<i2").tobytes()
    return mixed


def _no_audio() -> ClientError:
    reason = "the audio cannot be decoded: without encoding= it must be a WAV file of PCM or G.711"
    return ClientError(ClientFault.BAD_AUDIO, reason, fatal=True)
