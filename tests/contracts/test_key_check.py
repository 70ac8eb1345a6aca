"""Contract of the key checks and of re-encryption, over every blob store."""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from itertools import count

import anyio
import pytest

from app.domain.errors import BlobUnreadable, SettingsError
from app.domain.ports import BlobStore
from app.runtime.recording.rekey import rekey_blobs
from storage.aes import AesCipher, key_id
from storage.encrypted import EncryptedBlobStore
from storage.key_check import KEY_CHECKS, require_plain
from tests.contracts.blob_cases import BLOB_CASES
from tests.earlier_formats import encrypted_without_key_id

pytestmark = pytest.mark.anyio

OLD, ACTIVE, OTHER = bytes(32), b"1" * 32, b"2" * 32
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
OCTETS = "application/octet-stream"
CHUNK = "sessions/2026-11-25/one/000000000000.flac"
PLANTED = "sessions/2026-11-26/two/manifest.json"
_numbers = count()


@pytest.fixture(scope="module", params=sorted(BLOB_CASES))
async def whole_store(request, tmp_path_factory, anyio_backend):
    async with BLOB_CASES[request.param](tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


class Subfolder:
    """An empty archive in a folder of its own in a store."""

    def __init__(self, store: BlobStore, folder: str) -> None:
        self._store = store
        self._folder = folder

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        await self._store.put(self._folder + key, data, content_type=content_type)

    async def get(self, key: str) -> bytes:
        return await self._store.get(self._folder + key)

    async def delete(self, key: str) -> None:
        await self._store.delete(self._folder + key)

    async def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        async for key in self._store.keys(self._folder + prefix):
            yield key.removeprefix(self._folder)

    async def url(self, key: str) -> str | None:
        return None

    async def purge_versions(self, prefix: str) -> Sequence[str]:
        return await self._store.purge_versions(self._folder + prefix)


@pytest.fixture
def store(whole_store) -> Subfolder:
    return Subfolder(whole_store, f"archive-{next(_numbers)}/")


async def started(store: BlobStore, *keys: bytes) -> EncryptedBlobStore:
    """As a process with these keys opens it, the active one first."""
    encrypted = EncryptedBlobStore(store, AesCipher(*keys), now=lambda: NOON)
    await encrypted.check_keys()
    return encrypted


async def keys_of(store: BlobStore, prefix: str = "") -> list[str]:
    return [key async for key in store.keys(prefix)]


async def checks(store: BlobStore) -> set[str]:
    return {key.removeprefix(KEY_CHECKS) for key in await keys_of(store, KEY_CHECKS)}


async def test_first_start_writes_the_key_check_and_later_starts_need_its_key(store):
    """Every key that the archive has a check of."""
    await started(store, OLD)
    await started(store, ACTIVE, OLD)

    assert await checks(store) == {key_id(OLD), key_id(ACTIVE)}
    for keys in ([OLD], [ACTIVE], [OTHER, OLD]):
        with pytest.raises(SettingsError, match="PARLEY_ARCHIVE_OLD_KEYS"):
            await started(store, *keys)
    with pytest.raises(SettingsError, match="PARLEY_ARCHIVE_KEY is not set"):
        await require_plain(store)
    assert await keys_of(await started(store, OLD, ACTIVE)) == []


async def test_altered_key_check_is_refused(store):
    """It says since when everything is encrypted, so nothing else may."""
    await started(store, ACTIVE)
    key = KEY_CHECKS + key_id(ACTIVE)
    await store.put(key, (await store.get(key))[:-1] + b"x", content_type=OCTETS)

    with pytest.raises(SettingsError, match=f"{key}.*altered"):
        await started(store, ACTIVE)


async def test_processes_that_start_at_once_with_the_same_key_all_start(store):
    """Ten of them, on an empty archive."""
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(started, store, ACTIVE)

    assert await checks(store) == {key_id(ACTIVE)}


async def test_of_processes_that_start_at_once_with_different_keys_at_most_one_starts(store):
    """Those that do not start leave nothing behind, so that the next start works."""
    running = []

    async def start(key: bytes) -> None:
        try:
            await started(store, key)
        except SettingsError:
            return
        running.append(key_id(key))

    async with anyio.create_task_group() as tasks:
        for key in (OLD, ACTIVE, OTHER):
            tasks.start_soon(start, key)

    assert len(running) <= 1
    assert await checks(store) == set(running)


async def test_rekey_brings_every_blob_under_the_active_key(store):
    """Plain ones of before, those from before key ids, and those of an old key; then the active key alone is enough."""
    manifest, reply = CHUNK.replace("000000000000.flac", "manifest.json"), "sessions/2026-11-26/two/replies/0001.flac"
    await store.put(CHUNK, b"plain", content_type=OCTETS)
    await store.put("README", b"of another program", content_type=OCTETS)
    await store.put(manifest, b"PLYs" + encrypted_without_key_id(OLD, b"older", manifest), content_type=OCTETS)
    await (await started(store, OLD)).put(reply, b"old", content_type=OCTETS)
    both = await started(store, ACTIVE, OLD)
    before = {key: await store.get(key) for key in await keys_of(store)}

    dry = await rekey_blobs(both, dry_run=True)
    untouched = {key: await store.get(key) for key in await keys_of(store)}
    report = await rekey_blobs(both)
    again = await rekey_blobs(both)

    assert (dry.replaced, dry.current, dry.foreign, dry.failed, untouched) == (3, 0, 1, {}, before)
    assert (report.replaced, report.current, report.foreign, report.failed) == (3, 0, 1, {})
    assert (again.replaced, again.current, again.foreign, again.failed) == (0, 3, 1, {})
    assert await checks(store) == {key_id(ACTIVE)}
    assert await store.get("README") == b"of another program"
    alone = await started(store, ACTIVE)
    assert [await alone.get(key) for key in (CHUNK, manifest, reply)] == [b"plain", b"older", b"old"]


async def test_after_a_rekey_no_plain_blob_is_read(store):
    """However old it looks; one that was planted before stops the rekey from being complete."""
    await store.put(CHUNK, b"plain", content_type=OCTETS)
    encrypted = await started(store, ACTIVE)
    await store.put(PLANTED, b"{}", content_type=OCTETS)

    refused = await rekey_blobs(encrypted)
    needed = encrypted.plain_before
    await store.delete(PLANTED)
    complete = await rekey_blobs(encrypted)
    await store.put(CHUNK, b"plain", content_type=OCTETS)

    assert (list(refused.failed), needed, complete.failed) == ([PLANTED], NOON, {})
    for each in (encrypted, await started(store, ACTIVE)):
        with pytest.raises(BlobUnreadable, match="not encrypted"):
            await each.get(CHUNK)


async def test_blob_under_an_unknown_key_stays_as_it_is(store):
    """And no key check is removed."""
    other = EncryptedBlobStore(store, AesCipher(OTHER))
    await other.put(CHUNK, b"other", content_type=OCTETS)
    encrypted = await started(store, ACTIVE, OLD)
    before = await store.get(CHUNK)

    report = await rekey_blobs(encrypted)

    assert key_id(OTHER) in report.failed[CHUNK]
    assert await store.get(CHUNK) == before
