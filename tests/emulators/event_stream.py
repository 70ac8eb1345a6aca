"""Amazon's event-stream framing: length, headers, payload, and a checksum over each part."""

import struct
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

Value: TypeAlias = str | bytes | datetime

_BYTES, _STRING, _TIMESTAMP = 6, 7, 8


class BadFrame(Exception):
    """Bytes that are no event-stream frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    headers: dict[str, Value]
    payload: bytes = b""

    def encode(self) -> bytes:
        headers = encode_headers(self.headers)
        prelude = struct.pack("!II", len(headers) + len(self.payload) + 16, len(headers))
        body = prelude + struct.pack("!I", crc32(prelude)) + headers + self.payload
        return body + struct.pack("!I", crc32(body))


def encode_headers(headers: dict[str, Value]) -> bytes:
    return b"".join(_encode_header(name.encode(), value) for name, value in headers.items())


def _encode_header(name: bytes, value: Value) -> bytes:
    head = struct.pack("B", len(name)) + name
    match value:
        case str():
            raw = value.encode()
            return head + struct.pack("!BH", _STRING, len(raw)) + raw
        case bytes():
            return head + struct.pack("!BH", _BYTES, len(value)) + value
        case datetime():
            return head + struct.pack("!Bq", _TIMESTAMP, round(value.timestamp() * 1000))


class Frames:
    """Puts frames together from pieces of any size."""

    def __init__(self) -> None:
        self._bytes = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every frame that is complete. Raises BadFrame."""
        self._bytes += data
        while len(self._bytes) >= 12:
            total, headers_length, prelude_sum = struct.unpack("!III", self._bytes[:12])
            if crc32(self._bytes[:8]) != prelude_sum:
                raise BadFrame("the prelude's checksum is wrong")
            if len(self._bytes) < total:
                return
            frame, self._bytes = self._bytes[:total], self._bytes[total:]
            if crc32(frame[:-4]) != int.from_bytes(frame[-4:], "big"):
                raise BadFrame("the frame's checksum is wrong")
            yield Frame(_decode_headers(frame[12 : 12 + headers_length]), frame[12 + headers_length : -4])


def _decode_headers(data: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    while data:
        name, data = data[1 : 1 + data[0]].decode(), data[1 + data[0] :]
        kind, data = data[0], data[1:]
        if kind == _TIMESTAMP:
            milliseconds, data = int.from_bytes(data[:8], "big", signed=True), data[8:]
            headers[name] = datetime.fromtimestamp(milliseconds / 1000, UTC)
        elif kind in {_BYTES, _STRING}:
            length = int.from_bytes(data[:2], "big")
            raw, data = data[2 : 2 + length], data[2 + length :]
            headers[name] = raw.decode() if kind == _STRING else raw
        else:
            raise BadFrame(f"a header of type {kind}")
    return headers
