"""Key checks: a blob for every key that an archive is encrypted with, so that a start with a wrong key is noticed.

`key-check/ID` holds, encrypted under the key ID, from when on that archive is encrypted. A start needs every key that
has such a blob; a new key gets its own. There is one blob a key, not one for all, so that processes which start at the
same time with different keys see each other's instead of overwriting it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Protocol

import msgspec
import structlog
from anyio import Lock

from app.domain.errors import BlobNotFound, BlobUnreadable, ProviderRefused, SettingsError
from app.domain.ports import BlobStore
from app.domain.recording.blob_keys import UPLOADS
from app.json_input import decode_json

KEY_CHECKS = "key-check/"
"""Of the keys of these blobs."""

_log = structlog.get_logger("parley.archive")


class KeyCheck(msgspec.Struct, frozen=True):
    """What one of these blobs holds."""

    plain_before: datetime | None
    """Recordings that began before it may be unencrypted; None: none may."""
    format: int = 1


class KeyedCipher(Protocol):
    """Encryption under the active of several keys, each known by its id."""

    @property
    def active_key_id(self) -> str: ...
    @property
    def key_ids(self) -> Sequence[str]: ...
    def encrypt(self, message: bytes, name: str) -> bytes: ...
    def decrypt(self, ciphertext: bytes, name: str) -> bytes: ...


async def require_plain(store: BlobStore) -> None:
    """Raises SettingsError where the archive is encrypted, and what is written without a key would be refused later."""
    if ids := await _ids(store):
        raise SettingsError(
            f"the archive is encrypted, and PARLEY_ARCHIVE_KEY is not set; it needs the key {', '.join(ids)}"
        )


async def check_keys(store: BlobStore, cipher: KeyedCipher, now: datetime, *, write: bool = True) -> KeyCheck:
    """The check of the active key, which is written where there is none yet, if `write`.

    Raises SettingsError where the archive has a key that the cipher lacks, or a check does not open.
    """
    ids = await _known_ids(store, cipher)
    checks = [check for each in ids if (check := await _read(store, cipher, each))]
    if checks:
        limits = [check.plain_before for check in checks]
        check = KeyCheck(None if None in limits else min(limit for limit in limits if limit))
    else:
        check = KeyCheck(now if await _has_recordings(store) else None)
    if cipher.active_key_id in ids or not write:
        return check
    await _write(store, cipher, check)
    try:
        await _known_ids(store, cipher)  # another process may have started at the same time, with another key
    except SettingsError:
        await store.delete(KEY_CHECKS + cipher.active_key_id)
        raise
    if not checks:
        _log.warning("archive is encrypted from now on", key=cipher.active_key_id, plain_before=check.plain_before)
    return check


async def retire_other_keys(store: BlobStore, cipher: KeyedCipher) -> None:
    """Record that every blob is encrypted under the active key: no other key is needed, and none may be plain."""
    await _write(store, cipher, KeyCheck(None))
    for each in await _ids(store):
        if each != cipher.active_key_id:
            await store.delete(KEY_CHECKS + each)


class CheckedBlobStore:
    """Passes everything on to a store, once its check has passed.

    At the start the store may be down, and the service starts all the same; then the check is made before the first
    use, and what it refuses is refused there: ProviderRefused.
    """

    def __init__(self, store: BlobStore, check: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._check = check
        self._checked = False
        self._checking = Lock()

    async def check(self) -> None:
        """Raises SettingsError where the keys are not those of the archive, and what the store raises."""
        async with self._checking:
            if not self._checked:
                await self._check()
                self._checked = True

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        await self._check_before_use()
        await self._store.put(key, data, content_type=content_type)

    async def get(self, key: str) -> bytes:
        await self._check_before_use()
        return await self._store.get(key)

    async def delete(self, key: str) -> None:
        await self._store.delete(key)

    def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        return self._store.keys(prefix)

    async def url(self, key: str) -> str | None:
        return await self._store.url(key)

    async def purge_versions(self, prefix: str) -> Sequence[str]:
        return await self._store.purge_versions(prefix)

    async def _check_before_use(self) -> None:
        if self._checked:
            return
        try:
            await self.check()
        except SettingsError as error:
            raise ProviderRefused("archive", str(error)) from error


async def _ids(store: BlobStore) -> list[str]:
    async with aclosing(store.keys(KEY_CHECKS)) as keys:
        return [key.removeprefix(KEY_CHECKS) async for key in keys]


async def _known_ids(store: BlobStore, cipher: KeyedCipher) -> list[str]:
    ids = await _ids(store)
    if unknown := [each for each in ids if each not in cipher.key_ids]:
        raise SettingsError(
            f"PARLEY_ARCHIVE_KEY is the key {cipher.active_key_id}, and the archive is encrypted with "
            f"{', '.join(unknown)}: set that key, or add it to PARLEY_ARCHIVE_OLD_KEYS"
        )
    return ids


async def _read(store: BlobStore, cipher: KeyedCipher, each: str) -> KeyCheck | None:
    """None where another process has just deleted it."""
    key = KEY_CHECKS + each
    try:
        return decode_json(cipher.decrypt(await store.get(key), key), msgspec.json.Decoder(KeyCheck))
    except BlobNotFound:
        return None
    except (BlobUnreadable, msgspec.DecodeError) as error:
        raise SettingsError(f"{key} in the archive was altered: restore it from a backup of the archive") from error


async def _write(store: BlobStore, cipher: KeyedCipher, check: KeyCheck) -> None:
    key = KEY_CHECKS + cipher.active_key_id
    blob = cipher.encrypt(msgspec.json.encode(check), key)
    await store.put(key, blob, content_type="application/octet-stream")


async def _has_recordings(store: BlobStore) -> bool:
    for prefix in ("sessions/", UPLOADS):
        async with aclosing(store.keys(prefix)) as keys:
            async for _ in keys:
                return True
    return False
