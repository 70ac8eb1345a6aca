"""The formats in which a Realtime client sends and gets audio."""

import base64
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from app.domain.audio import SAMPLE_RATE, AudioChunk
from app.media.g711 import RATE as G711_RATE
from app.media.g711 import Law, decode_g711, encode_g711
from app.media.resampling import RateConverter, Resampler

FormatName: TypeAlias = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
_LAWS: dict[FormatName, Law] = {"audio/pcmu": "ulaw", "audio/pcma": "alaw"}
DEFAULT_RATE: Literal[24_000] = 24_000
"""Hz."""


class AudioFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    """`{"type": "audio/pcm", "rate": 24000}`, or G.711, which has no rate."""

    type: FormatName
    rate: Literal[24_000, 16_000] | None = None
    """Hz; 16000 is an extension."""

    @property
    def law(self) -> Law | None:
        """None: PCM16."""
        return _LAWS.get(self.type)

    @property
    def samples_per_s(self) -> int:
        return G711_RATE if self.law else self.rate or DEFAULT_RATE

    @property
    def bytes_per_sample(self) -> int:
        return 1 if self.law else 2


PCM = AudioFormat("audio/pcm", DEFAULT_RATE)


@dataclass(slots=True)
class InputAudio:
    """What a client appends, as the session's audio: one for a session."""

    resampler: Resampler = field(default_factory=Resampler)
    uncommitted: int = 0
    """Bytes since the last commit or clear."""

    def push(self, data: bytes, audio: AudioFormat) -> list[AudioChunk]:
        """Whole samples in this format."""
        self.uncommitted += len(data)
        return self.resampler.push(decode_g711(data, audio.law) if audio.law else data, audio.samples_per_s)

    def flush(self) -> list[AudioChunk]:
        return self.resampler.flush()

    def uncommitted_ms(self, audio: AudioFormat) -> float:
        return self.uncommitted * 1000 / audio.bytes_per_sample / audio.samples_per_s


@dataclass(slots=True)
class OutputAudio:
    """The audio of one reply in the client's format, in base64."""

    audio: AudioFormat
    samples: int = 0
    """At 16 kHz, so far."""
    _converter: RateConverter = field(init=False)

    def __post_init__(self) -> None:
        self._converter = RateConverter(SAMPLE_RATE, self.audio.samples_per_s)

    def push(self, chunk: AudioChunk) -> str:
        self.samples += chunk.samples
        return self._encoded(self._converter.push(chunk.pcm))

    def flush(self) -> str:
        return self._encoded(self._converter.flush())

    def _encoded(self, pcm: bytes) -> str:
        return base64.b64encode(encode_g711(pcm, self.audio.law) if self.audio.law else pcm).decode()
