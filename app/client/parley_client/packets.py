"""Binary packets, both ways: int32 little-endian `n`, `n` bytes of JSON metadata, PCM16."""

import json
from typing import Any

BYTES_PER_SAMPLE = 2
_LENGTH_BYTES = 4


def packet(metadata: dict[str, Any], pcm: bytes) -> bytes:
    """A frame of these metadata and this audio."""
    encoded = encode(metadata).encode()
    return len(encoded).to_bytes(_LENGTH_BYTES, "little", signed=True) + encoded + pcm


def read_frame(frame: str | bytes) -> tuple[dict[str, Any], bytes]:
    """The message of a frame, and the audio that it has. Raises ValueError."""
    if isinstance(frame, str):
        return json.loads(frame), b""
    end = _LENGTH_BYTES + int.from_bytes(frame[:_LENGTH_BYTES], "little", signed=True)
    return json.loads(frame[_LENGTH_BYTES:end]), frame[end:]


def encode(message: dict[str, Any]) -> str:
    """The message as JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)
