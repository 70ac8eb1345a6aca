"""The messages of Twilio's Media Streams, both ways (https://www.twilio.com/docs/voice/media-streams/websocket-messages).

Numbers come as strings.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, TypeAlias

import msgspec

from app.domain.errors import ClientError, ClientFault
from app.json_input import decode_json

MAX_PAYLOAD = 64 << 10
"""Characters of base64 in one message: six seconds of audio, where Twilio sends 20 ms."""


class _Event(msgspec.Struct, frozen=True, tag_field="event", rename="camel"):
    pass


class Connected(_Event, frozen=True, tag="connected"):
    pass


class MediaFormat(msgspec.Struct, frozen=True, rename="camel"):
    encoding: str
    sample_rate: int
    channels: int = 1


class Call(msgspec.Struct, frozen=True, rename="camel"):
    stream_sid: str
    call_sid: str
    media_format: MediaFormat
    custom_parameters: Mapping[str, str] = {}


class Started(_Event, frozen=True, tag="start"):
    start: Call


class Audio(msgspec.Struct, frozen=True):
    payload: Annotated[str, msgspec.Meta(max_length=MAX_PAYLOAD)]
    timestamp: str = ""
    """Milliseconds from the start of the stream."""
    track: str = "inbound"


class Media(_Event, frozen=True, tag="media"):
    media: Audio


class Digit(msgspec.Struct, frozen=True):
    digit: str


class Dtmf(_Event, frozen=True, tag="dtmf"):
    dtmf: Digit


class MarkName(msgspec.Struct, frozen=True):
    name: str


class Mark(_Event, frozen=True, tag="mark"):
    mark: MarkName


class Stopped(_Event, frozen=True, tag="stop"):
    pass


Event: TypeAlias = Connected | Started | Media | Dtmf | Mark | Stopped
_event = msgspec.json.Decoder(Event)


def decode(text: str) -> Event:
    """Raises ClientError."""
    try:
        event: Event = decode_json(text, _event)
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"cannot read the message: {error}") from error
    return event


def payload(media: Audio) -> bytes:
    """Its mu-law audio. Raises ClientError."""
    try:
        return base64.b64decode(media.payload, validate=True)
    except binascii.Error as error:
        raise ClientError(ClientFault.BAD_MESSAGE, "the payload is no base64") from error


def media(stream: str, codes: bytes) -> bytes:
    """Audio to be played behind what waits."""
    return _encode("media", stream, media={"payload": base64.b64encode(codes).decode()})


def mark(stream: str, name: str) -> bytes:
    """Comes back when what was sent before it has been played."""
    return _encode("mark", stream, mark={"name": name})


def clear(stream: str) -> bytes:
    """Audio that waits is not played."""
    return _encode("clear", stream)


def _encode(event: str, stream: str, **fields: object) -> bytes:
    return msgspec.json.encode({"event": event, "streamSid": stream, **fields})
