"""Every blob store, opened for its contract; the names are the registry's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aioboto3
import pytest
from anyio import to_thread
from azure.storage.blob.aio import BlobServiceClient
from moto.server import ThreadedMotoServer

from app.domain.ports import BlobStore
from storage.azure import open_azure
from storage.filesystem import open_filesystem
from storage.s3 import open_s3
from tests.emulators.azurite import ACCOUNT, KEY, serve_azurite

Case = Callable[[Path], AbstractAsyncContextManager[BlobStore]]

AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@asynccontextmanager
async def filesystem(folder: Path) -> AsyncIterator[BlobStore]:
    async with open_filesystem(folder=folder / "blobs") as store:
        yield store


@asynccontextmanager
async def s3(folder: Path) -> AsyncIterator[BlobStore]:
    async with served_by_moto() as url, open_s3(bucket="archive", endpoint_url=url, region="us-east-1") as store:
        yield store


@asynccontextmanager
async def served_by_moto() -> AsyncIterator[str]:
    """The address of moto's S3, with the bucket `archive` in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as environment:
        for variable, value in AWS.items():
            environment.setenv(variable, value)
        try:
            async with aioboto3.Session().client("s3", endpoint_url=url, region_name="us-east-1") as client:
                await client.create_bucket(Bucket="archive")
            yield url
        finally:
            await to_thread.run_sync(server.stop)


@asynccontextmanager
async def azure(folder: Path) -> AsyncIterator[BlobStore]:
    with serve_azurite(folder) as azurite:
        container = f"archive-{uuid4().hex[:8]}"
        async with BlobServiceClient(
            azurite.account_url, credential={"account_name": ACCOUNT, "account_key": KEY}
        ) as service:
            await service.create_container(container)
        async with open_azure(container=container, connection_string=azurite.connection_string) as store:
            yield store


BLOB_CASES: dict[str, Case] = {"azure": azure, "filesystem": filesystem, "s3": s3}
