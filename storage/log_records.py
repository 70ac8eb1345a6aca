"""Records of a session log: `mark | length | CRC-32 | payload`, integers little-endian; the payload may be encrypted.

Where in its log an encrypted record begins is part of its associated data: records that were swapped or repeated, and
those behind one that was cut out, do not decrypt.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.errors import BlobUnreadable

_PLAIN, _ENCRYPTED, _ENCRYPTED_WITHOUT_KEY_ID = b"PLYr", b"PLYk", b"PLYs"
_MARKS = (_PLAIN, _ENCRYPTED, _ENCRYPTED_WITHOUT_KEY_ID)
_HEAD = struct.Struct("<4sII")


class Cipher(Protocol):
    """Encryption of a message under its name."""

    def encrypt(self, message: bytes, name: str) -> bytes: ...
    def decrypt(self, ciphertext: bytes, name: str) -> bytes: ...
    def decrypt_without_key_id(self, ciphertext: bytes, name: str) -> bytes: ...
    def is_active(self, ciphertext: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A whole record as it lies in its log, at the bytes [start, end)."""

    mark: bytes
    payload: bytes
    start: int
    end: int

    def is_current(self, cipher: Cipher) -> bool:
        """Whether it is encrypted in the latest format, under the active key."""
        return self.mark == _ENCRYPTED and cipher.is_active(self.payload)

    def message(self, log: str, cipher: Cipher | None) -> bytes:
        """What was written. Raises BlobUnreadable where it is encrypted and does not decrypt here."""
        if self.mark == _PLAIN:
            return self.payload
        if cipher is None:
            raise BlobUnreadable("session log", f"{log} is encrypted, and PARLEY_ARCHIVE_KEY is not set")
        if self.mark == _ENCRYPTED_WITHOUT_KEY_ID:
            return cipher.decrypt_without_key_id(self.payload, log)
        return cipher.decrypt(self.payload, _name(log, self.start))


def pack(messages: Sequence[bytes], log: str, offset: int, cipher: Cipher | None) -> bytes:
    """The records of these messages, to be written at this offset of the log; encrypted where there is a cipher."""
    packed = bytearray()
    for message in messages:
        payload = cipher.encrypt(message, _name(log, offset + len(packed))) if cipher else message
        mark = _ENCRYPTED if cipher else _PLAIN
        packed += _HEAD.pack(mark, len(payload), zlib.crc32(payload)) + payload
    return bytes(packed)


def whole_records(blob: bytes, offset: int = 0) -> Iterator[LogRecord]:
    """Every whole record of these bytes, which lie at `offset` of their log; damaged bytes are passed over."""
    at = 0
    while at + _HEAD.size <= len(blob):
        mark, length, checksum = _HEAD.unpack_from(blob, at)
        end = at + _HEAD.size + length
        payload = blob[at + _HEAD.size : end]
        if mark in _MARKS and len(payload) == length and zlib.crc32(payload) == checksum:
            yield LogRecord(mark, payload, offset + at, offset + end)
            at = end
        else:
            at = min((found for mark in _MARKS if (found := blob.find(mark, at + 1)) >= 0), default=len(blob))


def _name(log: str, offset: int) -> str:
    return f"{log}@{offset}"
