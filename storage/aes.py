"""AES-256-GCM under one master key, with a key of its own (HKDF-SHA-256, random salt) for every message."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.domain.errors import BlobUnreadable, SettingsError

_SALT_BYTES = 16
_NONCE = bytes(12)
"""May be the same each time, because the salt makes every message's key another one."""


class AesCipher:
    """Encrypts messages of any length. The ciphertext is bound to the message's name (associated data)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt(self, message: bytes, name: str) -> bytes:
        """`salt | ciphertext | tag`: 32 bytes more than the message."""
        salt = os.urandom(_SALT_BYTES)
        return salt + self._message_cipher(salt).encrypt(_NONCE, message, name.encode())

    def decrypt(self, ciphertext: bytes, name: str) -> bytes:
        """Raises BlobUnreadable where the key, the name or the bytes are not those it was encrypted with."""
        try:
            salt, body = ciphertext[:_SALT_BYTES], ciphertext[_SALT_BYTES:]
            return self._message_cipher(salt).decrypt(_NONCE, body, name.encode())
        except InvalidTag as error:
            raise BlobUnreadable(
                "archive", f"{name} does not open with this PARLEY_ARCHIVE_KEY, or was altered"
            ) from error

    def _message_cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(HKDF(SHA256(), length=32, salt=salt, info=b"parley archive").derive(self._key))


def cipher_from_key(key: str) -> AesCipher:
    """From 32 bytes in base64. Raises SettingsError."""
    try:
        raw = base64.b64decode(key, altchars=b"-_" if set(key) & {"-", "_"} else None, validate=True)
    except binascii.Error as error:
        raise SettingsError("PARLEY_ARCHIVE_KEY must be 32 bytes in base64") from error
    if len(raw) != 32:
        raise SettingsError(f"PARLEY_ARCHIVE_KEY must be 32 bytes in base64; these are {len(raw)}")
    return AesCipher(raw)
