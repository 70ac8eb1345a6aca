"""Wyoming's framing: a line of JSON, perhaps more JSON behind it, perhaps bytes. See docs/protocols/wyoming.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from app.domain.errors import ClientError, ClientFault
from app.json_input import decode_json

MAX_LINE_BYTES = 64 << 10
MAX_DATA_BYTES = 256 << 10
MAX_PAYLOAD_BYTES = 1 << 20


class _EventHeader(msgspec.Struct):
    type: str
    data: dict[str, Any] | None = None
    data_length: Annotated[int, msgspec.Meta(ge=0, le=MAX_DATA_BYTES)] | None = None
    payload_length: Annotated[int, msgspec.Meta(ge=0, le=MAX_PAYLOAD_BYTES)] | None = None


_head = msgspec.json.Decoder(_EventHeader)
_data = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class WyomingEvent:
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def text(self, name: str) -> str:
        """This field, where it is text; else empty."""
        value = self.data.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """The texts in this list; none where it is no list."""
        values = self.data.get(name)
        return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def encoded(event: WyomingEvent) -> bytes:
    """As it goes over the wire."""
    data = _encode(event.data) if event.data else b""
    head: dict[str, Any] = {"type": event.type, "version": "1.8.0"}
    if data:
        head["data_length"] = len(data)
    if event.payload:
        head["payload_length"] = len(event.payload)
    return _encode(head) + b"\n" + data + event.payload


async def read_event(stream: BufferedByteReceiveStream) -> WyomingEvent:
    """The next one. Raises ClientError for what is none, and anyio's IncompleteRead or EndOfStream at the end."""
    line = await stream.receive_until(b"\n", MAX_LINE_BYTES)
    try:
        head = decode_json(line, _head)
        more: dict[str, Any] = {}
        if head.data_length:
            more = decode_json(await stream.receive_exactly(head.data_length), _data)
        data = {**(head.data or {}), **more}
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"this is no event: {error}") from error
    payload = await stream.receive_exactly(head.payload_length) if head.payload_length else b""
    return WyomingEvent(head.type, data, payload)
