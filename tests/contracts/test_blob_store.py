"""Contract of every BlobStore."""

import os
import stat
from datetime import UTC, datetime, timedelta

import aiohttp
import anyio
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from azure.storage.blob.aio import BlobServiceClient

from app.domain.errors import BlobNotFound, ProviderBusy, ProviderDown, ProviderError, ProviderRefused
from storage.azure import open_azure
from storage.filesystem import FilesystemBlobStore, open_filesystem
from storage.s3 import open_s3
from tests.contracts.blob_cases import AWS, BLOB_CASES
from tests.emulators.azurite import ACCOUNT, KEY, serve_azurite
from tests.emulators.faulty import Fault, serve_faults

pytestmark = pytest.mark.anyio
OCTETS = "application/octet-stream"


@pytest.fixture(scope="module", params=sorted(BLOB_CASES))
async def store(request, tmp_path_factory, anyio_backend):
    async with BLOB_CASES[request.param](tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


async def keys(store, prefix: str = "") -> list[str]:
    return [key async for key in store.keys(prefix)]


async def test_put_then_get_returns_the_same_bytes(store):
    """The same bytes come back, be they text, empty or all there are."""
    for blob in (b"hello", b"", bytes(range(256))):
        await store.put("same/blob", blob, content_type=OCTETS)

        assert await store.get("same/blob") == blob


async def test_large_blob_is_read_back_whole(store):
    """Twenty megabytes and a bit, whatever pieces they travel in."""
    blob = os.urandom((20 << 20) + 1)

    await store.put("big/blob", blob, content_type=OCTETS)

    assert await store.get("big/blob") == blob


async def test_get_of_a_missing_key_raises_blob_not_found(store):
    """The error names the key."""
    with pytest.raises(BlobNotFound, match="no/such/blob"):
        await store.get("no/such/blob")


async def test_delete_is_idempotent(store):
    """What is gone may be deleted again."""
    await store.put("gone/blob", b"x", content_type=OCTETS)

    await store.delete("gone/blob")
    await store.delete("gone/blob")

    assert await keys(store, "gone/") == []
    with pytest.raises(BlobNotFound):
        await store.get("gone/blob")


async def test_keys_are_listed_in_order_by_prefix(store):
    """By the key's text, not by folder; a prefix may end in the middle of a name."""
    for key in ("order/b", "order/a/2", "order/a-1", "order/a/10", "order-2/a", "other"):
        await store.put(key, b"x", content_type=OCTETS)

    assert await keys(store, "order/") == ["order/a-1", "order/a/10", "order/a/2", "order/b"]
    assert await keys(store, "order/a/1") == ["order/a/10"]
    assert await keys(store, "nothing") == []
    assert {"other", "order-2/a"} <= set(await keys(store))


async def test_concurrent_puts_and_gets_do_not_mix(store):
    """Fifty blobs put and got together."""
    got = {}

    async def there_and_back(number: int) -> None:
        await store.put(f"many/{number:02d}", str(number).encode() * 1000, content_type=OCTETS)
        got[number] = await store.get(f"many/{number:02d}")

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(there_and_back, number)

    assert got == {number: str(number).encode() * 1000 for number in range(50)}
    assert await keys(store, "many/") == [f"many/{number:02d}" for number in range(50)]


async def test_replacing_a_blob_is_atomic(store):
    """While a blob is replaced again and again, each reader gets one version whole."""
    versions = [bytes([number]) * 300_000 for number in range(6)]
    await store.put("atomic", versions[0], content_type=OCTETS)
    seen = []

    async def read() -> None:
        seen.extend([await store.get("atomic") for _ in range(6)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for version in versions:
            await store.put("atomic", version, content_type=OCTETS)

    assert all(blob in versions for blob in seen)


async def test_signed_url_reads_only_its_blob(store):
    """Where the store has addresses, one is enough to read its blob, and only that."""
    await store.put("linked/blob", b"by its address", content_type="text/plain")

    url = await store.url("linked/blob")

    if url and url.startswith("http"):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, b"by its address")
        if "sig=" in url:  # moto does not check who asks
            async with aiohttp.ClientSession() as session, session.get(url.replace("linked", "order")) as answer:
                assert answer.status == 403
    else:
        assert url
        assert await anyio.Path(url.removeprefix("file://")).read_bytes() == b"by its address"


# -- where something is in the way ---------------------------------------------------

OPENERS = {
    "s3": lambda url: open_s3(bucket="archive", endpoint_url=url, region="us-east-1", read_timeout_s=0.5),
    "azure": lambda url: open_azure(
        container="archive",
        connection_string=f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={url};",
        read_timeout_s=0.5,
    ),
}
FAULTS = {
    "forbidden": (Fault(403), ProviderRefused),
    "unauthorised": (Fault(401), ProviderRefused),
    "broken inside": (Fault(500), ProviderDown),
    "bad gateway": (Fault(502), ProviderDown),
    "slow down": (Fault(503), ProviderBusy),
    "too many": (Fault(429), ProviderBusy),
    "silent": (Fault(), ProviderDown),
    "reset": (Fault(resets=True), ProviderDown),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", sorted(OPENERS))
async def test_faults_are_translated_to_provider_errors(name, fault, monkeypatch):
    """Refused, busy or down, for reading, writing, deleting and listing; and it does not take long."""
    for variable, value in AWS.items():
        monkeypatch.setenv(variable, value)
    what, error = FAULTS[fault]
    with anyio.fail_after(10):
        async with serve_faults(what) as url, OPENERS[name](url) as store:
            for attempt in (
                lambda: store.put("a", b"x" * 100_000, content_type=OCTETS),
                lambda: store.get("a"),
                lambda: store.delete("a"),
                lambda: keys(store),
            ):
                with pytest.raises(error) as caught:
                    await attempt()
                assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", sorted(OPENERS))
async def test_truncated_response_is_an_error(name, monkeypatch):
    """An answer that breaks off is an error, not a shorter blob."""
    for variable, value in AWS.items():
        monkeypatch.setenv(variable, value)
    async with serve_faults(Fault(206, cuts=True, body=b"half of it")) as url, OPENERS[name](url) as store:
        with pytest.raises(ProviderDown):
            await store.get("a")


@pytest.mark.parametrize("name", sorted(OPENERS))
async def test_refused_connection_is_provider_down(name, monkeypatch):
    """A refused connection is told at once."""
    for variable, value in AWS.items():
        monkeypatch.setenv(variable, value)
    async with OPENERS[name]("http://127.0.0.1:9") as store:
        with pytest.raises(ProviderDown):
            await store.put("a", b"x", content_type=OCTETS)


async def test_missing_azure_container_is_provider_refused(tmp_path):
    """It is not the blob that is missing."""
    with serve_azurite(tmp_path) as azurite:
        async with open_azure(container="nowhere", connection_string=azurite.connection_string) as store:
            with pytest.raises(ProviderRefused):
                await store.get("a")


async def test_azure_sas_token_permissions(tmp_path):
    """With the account's address and a SAS token blobs are put and got; a token for reading does not write."""

    def token(permission: str) -> str:
        return generate_container_sas(
            ACCOUNT,
            "archive",
            account_key=KEY,
            permission=ContainerSasPermissions.from_string(permission),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )

    with serve_azurite(tmp_path) as azurite:
        async with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
            await service.create_container("archive")
        where = {"container": "archive", "account_url": azurite.account_url}
        async with open_azure(**where, sas_token=token("rwdl")) as store:
            await store.put("a", b"by token", content_type=OCTETS)
            assert await store.get("a") == b"by token"
            assert await store.url("a") is None
        async with open_azure(**where, sas_token=token("r")) as store:
            with pytest.raises(ProviderRefused):
                await store.put("a", b"x", content_type=OCTETS)
            assert await store.get("a") == b"by token"


async def test_azure_without_address_is_a_settings_error():
    """Neither a connection string nor an address: the sentence says so."""
    with pytest.raises(ProviderRefused, match="neither"):
        async with open_azure(container="archive"):
            pass


async def test_filesystem_refuses_path_traversal(tmp_path):
    """No key reaches a file outside the store."""
    async with open_filesystem(folder=tmp_path / "blobs") as store:
        for key in ("../outside", "a/../../outside", "/etc/passwd", ""):
            with pytest.raises(ProviderError):
                await store.put(key, b"x", content_type=OCTETS)


async def test_filesystem_does_not_list_hidden_files(tmp_path):
    """What a crash left half-written, and a spool beside the blobs, do not show."""
    async with open_filesystem(folder=tmp_path) as store:
        await store.put("a/b", b"x", content_type=OCTETS)
        for name in (".spool/one/journal", "a/.tmp123"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"y")

        assert await keys(store) == ["a/b"]


async def test_filesystem_put_fsyncs_the_folder_after_the_rename(tmp_path):
    """Its folder and the parents of new folders are synced when the blob is under its name."""
    synced = []

    def fsync_folder(folder) -> None:
        synced.append((folder.relative_to(tmp_path).as_posix(), (tmp_path / "new/folder/blob").exists()))

    store = FilesystemBlobStore(tmp_path, fsync_folder=fsync_folder)
    await store.put("new/folder/blob", b"x", content_type=OCTETS)
    first = sorted(synced)
    synced.clear()
    await store.put("new/folder/blob", b"y", content_type=OCTETS)

    assert first == [(".", True), ("new", True), ("new/folder", True)]
    assert synced == [("new/folder", True)]


async def test_filesystem_disk_full_is_provider_busy(small_disk):
    """So it is tried again, and HTTP says 503."""
    async with open_filesystem(folder=small_disk) as store:
        with pytest.raises(ProviderBusy, match="full"):
            await store.put("a", bytes(2_000_000), content_type=OCTETS)

        assert await keys(store) == []


@pytest.mark.parametrize("key", ["a\0b", "x" * 5000])
async def test_filesystem_refuses_a_key_that_is_no_path(tmp_path, key):
    """A zero byte, or a name longer than any file system takes."""
    async with open_filesystem(folder=tmp_path) as store:
        for attempt in (store.get(key), store.delete(key), store.put(key, b"x", content_type=OCTETS)):
            with pytest.raises(ProviderError):
                await attempt


async def test_new_folder_is_for_its_owner_alone(tmp_path):
    """Of recordings; one that exists keeps its permissions."""
    (tmp_path / "old").mkdir(mode=0o750)
    for name in ("new", "old"):
        async with open_filesystem(folder=tmp_path / name):
            pass

    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")] == [0o700, 0o750]
