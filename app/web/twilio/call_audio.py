"""A call's audio, both ways: mu-law at 8 kHz, as the telephone network has it."""

from dataclasses import dataclass, field

from app.domain.audio import SAMPLE_RATE, AudioChunk
from app.media.g711 import RATE, decode_g711, encode_g711
from app.media.resampling import RateConverter, Resampler

FRAME = 160
"""Bytes of 20 ms: pieces of other lengths crackle."""

MAX_GAP_S = 10.0
"""Lost audio is replaced by silence, up to so much at once."""

_MILLISECOND = RATE // 1000
_SILENCE = b"\xff"


@dataclass(slots=True)
class CallInput:
    """What the caller says. Messages that never came are silence, so that positions stay those of the call."""

    _resampler: Resampler = field(default_factory=Resampler)
    _position: int = 0
    """Samples at 8 kHz that have come."""

    def push(self, codes: bytes, timestamp: str) -> list[AudioChunk]:
        """`timestamp`: milliseconds at which it begins; what is no number counts as no gap."""
        begins = int(timestamp) * _MILLISECOND if timestamp.isascii() and timestamp.isdigit() else self._position
        missing = begins - self._position
        filled = codes
        if missing >= FRAME:
            filled = _SILENCE * min(missing, int(MAX_GAP_S * RATE)) + codes
        self._position = max(self._position, begins) + len(codes)
        return self._resampler.push(decode_g711(filled, "ulaw"), RATE)

    def flush(self) -> list[AudioChunk]:
        return self._resampler.flush()


@dataclass(slots=True)
class ReplyOutput:
    """Reply audio in whole frames."""

    _converter: RateConverter = field(default_factory=lambda: RateConverter(SAMPLE_RATE, RATE))
    _rest: bytes = b""

    def push(self, pcm: bytes) -> bytes:
        """The frames that this audio completes, as mu-law."""
        codes = self._rest + encode_g711(self._converter.push(pcm), "ulaw")
        whole = len(codes) // FRAME * FRAME
        self._rest = codes[whole:]
        return codes[:whole]

    def flush(self) -> bytes:
        """The last frame, filled up with silence; empty where nothing is left."""
        codes = self._rest + encode_g711(self._converter.flush(), "ulaw")
        self._rest = b""
        return codes + _SILENCE * (-len(codes) % FRAME)

    def drop(self) -> None:
        """The reply is not played to its end."""
        self._converter.flush()
        self._rest = b""
