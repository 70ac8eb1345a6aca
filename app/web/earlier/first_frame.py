"""Which protocol a client speaks, by its first frame."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from app.domain.errors import ClientError
from app.json_input import decode_json
from app.web.parley.packets import unpack


class Dialect(StrEnum):
    PACKETS = "packets"
    """RealtimeSTT's browser client: Parley's own packets."""
    BARE_AUDIO = "bare audio"
    """16 kHz PCM16 and nothing else; the answer is a whole reply after each turn."""
    WHISPERLIVE = "whisperlive"
    """A JSON object with a `uid`, then float samples."""
    CONTROL = "control"
    """RealtimeSTT's control socket, which changes a server's parameters. It is refused."""


def dialect_of(frame: Mapping[str, Any]) -> Dialect:
    """Of a frame with either `text` or `bytes`. What is neither JSON with a known key nor a packet is bare audio."""
    text = frame.get("text")
    if isinstance(text, str):
        keys = _keys(text)
        if "uid" in keys:
            return Dialect.WHISPERLIVE
        return Dialect.CONTROL if "command" in keys else Dialect.PACKETS
    try:
        unpack(frame.get("bytes") or b"")
    except ClientError:
        return Dialect.BARE_AUDIO
    return Dialect.PACKETS


def _keys(text: str) -> frozenset[str]:
    try:
        found: dict[str, Any] = decode_json(text, _object)
    except msgspec.DecodeError:
        return frozenset()
    return frozenset(found)


_object = msgspec.json.Decoder(dict[str, Any])
