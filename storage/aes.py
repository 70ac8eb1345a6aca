"""Encryption with one key: AES-256-GCM, under a key of its own for every message."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.domain.errors import ProviderRefused, SettingsError

_SALT = 16
_NONCE = bytes(12)
"""May be the same each time, because the salt makes every message's key another one."""


class AesCipher:
    """Closes and opens messages. A message says nothing but its length, and only under its own name."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def close(self, message: bytes, name: str) -> bytes:
        salt = os.urandom(_SALT)
        return salt + self._cipher(salt).encrypt(_NONCE, message, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Raises ProviderRefused where the key, the name or the bytes are not the ones it was closed with."""
        try:
            return self._cipher(sealed[:_SALT]).decrypt(_NONCE, sealed[_SALT:], name.encode())
        except InvalidTag as error:
            raise ProviderRefused(
                "archive", f"{name} does not open with this PARLEY_ARCHIVE_KEY, or was altered"
            ) from error

    def _cipher(self, salt: bytes) -> AESGCM:
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
