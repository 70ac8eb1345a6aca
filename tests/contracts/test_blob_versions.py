"""Deletion of earlier versions: a bucket with versioning keeps nothing of a session that was deleted."""

from contextlib import asynccontextmanager
from typing import Any

import aioboto3
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import RetentionPolicy
from botocore.exceptions import ClientError

from app.runtime.recording.tombstones import delete_blobs
from storage.azure import KEPT_BLOBS, AzureBlobStore
from storage.s3 import KEPT_VERSIONS, S3BlobStore, open_s3
from tests.contracts.blob_cases import served_by_moto
from tests.fakes import MemoryBlobStore

pytestmark = pytest.mark.anyio
OCTETS = "application/octet-stream"
FOLDER = "sessions/2026-01-02/one"
BUCKET = "with-versions"
"""moto's buckets are those of the process, so this one is no other test's."""


@asynccontextmanager
async def versioned_bucket():
    """A store in a bucket with versioning, and the SDK's client of it."""
    async with (
        served_by_moto() as url,
        aioboto3.Session().client("s3", endpoint_url=url, region_name="us-east-1") as client,
        open_s3(bucket=BUCKET, prefix="parley/", endpoint_url=url, region="us-east-1") as store,
    ):
        await client.create_bucket(Bucket=BUCKET)
        await client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield store, client


async def versions(client: Any) -> list[str]:
    """Keys of all versions and delete markers."""
    page = await client.list_object_versions(Bucket=BUCKET)
    return [entry["Key"] for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))]


async def test_deletion_in_a_bucket_with_versioning_leaves_no_version():
    """Neither of what was overwritten nor of what was deleted; another session's blobs stay."""
    async with versioned_bucket() as (store, client):
        for content in (b"live", b"over"):
            await store.put(f"{FOLDER}/manifest.json", content, content_type=OCTETS)
        await store.put("index/2026-01-02/one", b"{}", content_type=OCTETS)
        await store.put("index/2026-01-02/one-more", b"{}", content_type=OCTETS)

        deleted = await delete_blobs(store, FOLDER, "default")

        assert await versions(client) == ["parley/index/2026-01-02/one-more"]
        assert (deleted.count, deleted.remaining) == (1, ())


class Refusing:
    """A client that may do nothing but what it is asked to pass on."""

    async def list_object_versions(self, **_: str) -> None:
        answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise ClientError(answer, "ListObjectVersions")


async def test_deletion_says_what_stays_where_versions_may_not_be_deleted():
    """The lifecycle rule of the bucket has to do it; the deletion itself succeeds."""
    remaining = await S3BlobStore(Refusing(), "archive", "", 5.0).purge_versions(FOLDER)

    assert remaining == (KEPT_VERSIONS,)


async def test_a_store_without_versions_keeps_nothing():
    assert (await delete_blobs(MemoryBlobStore(), FOLDER, "default")).remaining == ()


class AzureAccount:
    """The part of the SDK's client that knows the account's settings."""

    def __init__(self, policy: RetentionPolicy | None) -> None:
        self.policy = policy

    def get_container_client(self, _: str) -> None:
        """No blob is touched."""

    async def get_service_properties(self) -> dict[str, RetentionPolicy]:
        if self.policy is None:
            raise ClientAuthenticationError("not allowed")
        return {"delete_retention_policy": self.policy}


@pytest.mark.parametrize(
    ("policy", "remaining"),
    [
        (RetentionPolicy(enabled=True, days=7), ("deleted blobs, for 7 days by soft delete",)),
        (RetentionPolicy(enabled=False), ()),
        (None, (KEPT_BLOBS,)),
    ],
)
async def test_deletion_in_azure_says_how_long_soft_delete_keeps_blobs(policy, remaining):
    """Where the identity may read the setting; else that it may not."""
    store = AzureBlobStore(AzureAccount(policy), "archive", "", 5.0)

    assert tuple(await store.purge_versions(FOLDER)) == remaining
