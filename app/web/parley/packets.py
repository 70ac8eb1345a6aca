"""Binary packets, both ways: int32 little-endian `n`, `n` bytes of JSON metadata, PCM16."""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.errors import ClientError, ClientFault
from app.json_input import decode_json

MAX_PCM_BYTES = 1 << 20
"""In one packet; ten seconds at 48 kHz fit."""
MAX_METADATA_BYTES = 65_536
MIN_RATE, MAX_RATE = 8_000, 96_000
"""Hz."""

_LENGTH_BYTES = 4


class Metadata(msgspec.Struct, rename="camel"):
    """What every client packet carries; further fields are ignored."""

    sample_rate: int | float
    start: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    sample_rate: int
    """Hz, from MIN_RATE to MAX_RATE."""
    pcm: bytes
    """Mono PCM16, whole samples, possibly none."""
    start: int | None = None
    """Samples that the client sent before it in this session; None: it does not say."""


_metadata = msgspec.json.Decoder(Metadata)


def check_pcm(pcm: bytes) -> bytes:
    """The same bytes. Raises ClientError where they are no whole samples, or too many."""
    if len(pcm) > MAX_PCM_BYTES:
        raise ClientError(
            ClientFault.FRAME_TOO_LARGE, f"a frame of {len(pcm)} bytes is too large; the limit is {MAX_PCM_BYTES}"
        )
    if len(pcm) % BYTES_PER_SAMPLE:
        raise ClientError(ClientFault.ODD_PCM, f"{len(pcm)} bytes of audio are no whole number of 16-bit samples")
    return pcm


def unpack(frame: bytes) -> Packet:
    """The client's packet in this frame. Raises ClientError."""
    if len(frame) > _LENGTH_BYTES + MAX_METADATA_BYTES + MAX_PCM_BYTES:
        check_pcm(frame)
    if len(frame) < _LENGTH_BYTES:
        raise ClientError(ClientFault.BAD_PACKET, f"a packet of {len(frame)} bytes is too short for its length field")
    length = int.from_bytes(frame[:_LENGTH_BYTES], "little", signed=True)
    if not 0 <= length <= len(frame) - _LENGTH_BYTES:
        raise ClientError(
            ClientFault.BAD_PACKET, f"the length field says {length}; {len(frame) - _LENGTH_BYTES} bytes follow it"
        )
    try:
        metadata = decode_json(frame[_LENGTH_BYTES : _LENGTH_BYTES + length], _metadata)
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_METADATA, 'metadata must be JSON like {"sampleRate": 48000}') from error
    rate = metadata.sample_rate
    if not MIN_RATE <= rate <= MAX_RATE or rate != int(rate):
        raise ClientError(
            ClientFault.BAD_SAMPLE_RATE, f"sampleRate must be a whole number from {MIN_RATE} to {MAX_RATE}"
        )
    return Packet(int(rate), check_pcm(frame[_LENGTH_BYTES + length :]), metadata.start)


def pack(metadata: bytes, pcm: bytes) -> bytes:
    """A frame of these metadata, in JSON, and this audio."""
    return len(metadata).to_bytes(_LENGTH_BYTES, "little", signed=True) + metadata + pcm
