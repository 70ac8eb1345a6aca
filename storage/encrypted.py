"""A blob store that encrypts what it is given before another store keeps it, and refuses what is not encrypted.

A blob is `mark | ciphertext`; its key in the store is the associated data, so a blob that was moved does not decrypt.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Literal

from anyio import to_thread

from app.domain.errors import BlobUnreadable, ProviderMisbehaved
from app.domain.ports import BlobStore
from app.domain.recording.blob_keys import RECORDING_PREFIXES, began_before
from storage.aes import AesCipher
from storage.key_check import KEY_CHECKS, check_keys, retire_other_keys

_MARK, _MARK_WITHOUT_KEY_ID = b"PLYk", b"PLYs"
_OCTETS = "application/octet-stream"


def utc_now() -> datetime:
    return datetime.now(UTC)


class EncryptedBlobStore:
    """Keys stay readable; blobs do not."""

    def __init__(self, store: BlobStore, cipher: AesCipher, *, now: Callable[[], datetime] = utc_now) -> None:
        self.plain_before: datetime | None = None
        """Recordings that began before it may be unencrypted; None: none may. Set by check_keys()."""
        self._store = store
        self._cipher = cipher
        self._now = now

    async def check_keys(self, *, write: bool = True) -> None:
        """Raises SettingsError where these keys are not those of the archive, and what the store raises.

        Without `write`, an archive that has no check of the active key yet does not get one.
        """
        self.plain_before = (await check_keys(self._store, self._cipher, self._now(), write=write)).plain_before

    async def retire_other_keys(self) -> None:
        """To be called when every blob is current: no other key is needed any more, and no blob may be plain."""
        await retire_other_keys(self._store, self._cipher)
        self.plain_before = None

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:  # noqa: ARG002 because it would tell what is inside
        await self._store.put(key, await to_thread.run_sync(self._encrypt, key, data), content_type=_OCTETS)

    async def get(self, key: str) -> bytes:
        """Raises BlobUnreadable where its key is unknown, or it was altered, moved or replaced by a plain one."""
        return await self._decrypt_in_thread(key, await self._store.get(key))

    async def delete(self, key: str) -> None:
        await self._store.delete(key)

    async def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        async with aclosing(self._store.keys(prefix)) as keys:
            async for key in keys:
                if not key.startswith(KEY_CHECKS):
                    yield key

    async def url(self, key: str) -> str | None:  # noqa: ARG002 because whoever followed it could not read it
        return None

    async def purge_versions(self, prefix: str) -> Sequence[str]:
        return await self._store.purge_versions(prefix)

    async def reencrypt(self, key: str, *, dry_run: bool = False) -> Literal["current", "replaced", "foreign"]:
        """Replace a blob that is not under the active key, in the latest format, by one that is.

        `foreign`: it is neither encrypted nor of a recording, and stays. With `dry_run` nothing is written. The
        replacement is decrypted and compared before it is stored, and stored only while the blob is still the same.
        Raises what get() raises.
        """
        while True:
            blob = await self._store.get(key)
            if blob.startswith(_MARK) and self._cipher.is_active(blob[len(_MARK) :]):
                return "current"
            if not blob.startswith((_MARK, _MARK_WITHOUT_KEY_ID)) and not key.startswith(RECORDING_PREFIXES):
                return "foreign"
            message = await self._decrypt_in_thread(key, blob)
            if dry_run:
                return "replaced"
            replacement = await to_thread.run_sync(self._encrypt, key, message)
            if await self._decrypt_in_thread(key, replacement) != message:
                raise ProviderMisbehaved("archive", f"{key} does not decrypt to what was encrypted, and stays as it is")
            if await self._store.get(key) == blob:
                await self._store.put(key, replacement, content_type=_OCTETS)
                return "replaced"

    def _encrypt(self, key: str, message: bytes) -> bytes:
        return _MARK + self._cipher.encrypt(message, key)

    async def _decrypt_in_thread(self, key: str, blob: bytes) -> bytes:
        if blob.startswith(_MARK):
            return await to_thread.run_sync(self._cipher.decrypt, blob[len(_MARK) :], key)
        if blob.startswith(_MARK_WITHOUT_KEY_ID):
            return await to_thread.run_sync(self._cipher.decrypt_without_key_id, blob[len(_MARK_WITHOUT_KEY_ID) :], key)
        if self.plain_before is None or not began_before(key, self.plain_before):
            raise BlobUnreadable("archive", f"{key} is not encrypted, and every blob of its time must be")
        return blob
