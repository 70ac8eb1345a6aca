"""AES-256-GCM under several master keys, with a key of its own (HKDF-SHA-256, random salt) for every message.

A ciphertext begins with its master key's id, a fingerprint of that key, so keys need no names and can be replaced.
"""

import base64
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.domain.errors import BlobUnreadable, SettingsError

KEY_ID_BYTES = 8
_SALT_BYTES = 16
_NONCE = bytes(12)
"""May be the same each time, because the salt makes every message's key another one."""
_MESSAGE, _MESSAGE_WITHOUT_KEY_ID, _KEY_ID = b"parley archive 2", b"parley archive", b"parley archive key id"
"""Labels of what is derived from a master key; stored ciphertexts depend on them."""


class AesCipher:
    """Encrypts under the active key, decrypts under every key. A ciphertext is bound to its name (associated data)."""

    def __init__(self, active: bytes, *old: bytes) -> None:
        self._keys = {key_id(key): key for key in (active, *old)}
        self.active_key_id = key_id(active)

    def __repr__(self) -> str:
        return f"AesCipher({', '.join(self.key_ids)})"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of every key, the active one first."""
        return tuple(self._keys)

    def encrypt(self, message: bytes, name: str) -> bytes:
        """`key id | salt | ciphertext | tag`: 40 bytes more than the message, of any length."""
        salt = os.urandom(_SALT_BYTES)
        cipher = AESGCM(_derive(self._keys[self.active_key_id], _MESSAGE, salt))
        return bytes.fromhex(self.active_key_id) + salt + cipher.encrypt(_NONCE, message, name.encode())

    def decrypt(self, ciphertext: bytes, name: str) -> bytes:
        """Raises BlobUnreadable where the key is unknown, or the name or the bytes are not those of encrypt()."""
        used, rest = ciphertext[:KEY_ID_BYTES].hex(), ciphertext[KEY_ID_BYTES:]
        if used not in self._keys:
            raise BlobUnreadable(
                "archive",
                f"{name} does not open with these keys: it needs the key {used}, known are {', '.join(self.key_ids)} "
                "(PARLEY_ARCHIVE_OLD_KEYS)",
            )
        message = _decrypt(self._keys[used], _MESSAGE, rest, name)
        if message is None:
            raise BlobUnreadable("archive", f"{name} does not open with its key {used}: it was altered or moved")
        return message

    def decrypt_without_key_id(self, ciphertext: bytes, name: str) -> bytes:
        """`salt | ciphertext | tag`, as it was stored before there were key ids. Raises BlobUnreadable."""
        for key in self._keys.values():
            message = _decrypt(key, _MESSAGE_WITHOUT_KEY_ID, ciphertext, name)
            if message is not None:
                return message
        raise BlobUnreadable("archive", f"{name} does not open with the keys {', '.join(self.key_ids)}, or was altered")

    def is_active(self, ciphertext: bytes) -> bool:
        """Whether it says that it was encrypted under the active key."""
        return ciphertext[:KEY_ID_BYTES].hex() == self.active_key_id


def key_id(key: bytes) -> str:
    """The public fingerprint of a master key: 16 hexadecimal digits that reveal nothing of it."""
    return _derive(key, _KEY_ID, salt=None, length=KEY_ID_BYTES).hex()


def cipher_from_keys(active: str, old: Sequence[str] = ()) -> AesCipher:
    """From keys of 32 bytes in base64. Raises SettingsError, which repeats none of them."""
    return AesCipher(
        _parse(active, "PARLEY_ARCHIVE_KEY"), *(_parse(key, "each of PARLEY_ARCHIVE_OLD_KEYS") for key in old)
    )


def _parse(key: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(key, altchars=b"-_" if set(key) & {"-", "_"} else None, validate=True)
    except ValueError as error:  # binascii.Error, or a character that is not ASCII
        raise SettingsError(f"{what} must be 32 bytes in base64") from error
    if len(raw) != 32:
        raise SettingsError(f"{what} must be 32 bytes in base64; these are {len(raw)}")
    return raw


def _decrypt(key: bytes, label: bytes, ciphertext: bytes, name: str) -> bytes | None:
    """None where it does not authenticate."""
    salt, body = ciphertext[:_SALT_BYTES], ciphertext[_SALT_BYTES:]
    try:
        return AESGCM(_derive(key, label, salt)).decrypt(_NONCE, body, name.encode())
    except InvalidTag:
        return None


def _derive(key: bytes, label: bytes, salt: bytes | None, length: int = 32) -> bytes:
    return HKDF(SHA256(), length=length, salt=salt, info=label).derive(key)
