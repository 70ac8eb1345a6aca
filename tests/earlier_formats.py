"""What earlier versions stored: ciphertexts without key ids, and session log records of them."""

import struct
import zlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def encrypted_without_key_id(key: bytes, message: bytes, name: str) -> bytes:
    """`salt | ciphertext | tag`."""
    salt = bytes(range(16))
    derived = HKDF(SHA256(), length=32, salt=salt, info=b"parley archive").derive(key)
    return salt + AESGCM(derived).encrypt(bytes(12), message, name.encode())


def record_without_key_id(key: bytes, message: bytes, log: str) -> bytes:
    """A record of a session log, bound to its log and not to its position in it."""
    payload = encrypted_without_key_id(key, message, log)
    return b"PLYs" + struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
