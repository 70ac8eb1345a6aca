"""Blobs in a bucket of Amazon S3, or of any service with its protocol."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aioboto3
import aiohttp
import anyio
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from app.domain.errors import BlobNotFound, ProviderBusy, ProviderDown, ProviderError, ProviderRefused, flatten

PART = 8 << 20
"""Bytes in a part. A blob of more than two is sent in parts, a few at once."""
CONCURRENT_PARTS = 4
SIGNED_FOR_S = 3600
MIN_BYTES_PER_S = 64_000
"""A slower transfer counts as a lost connection."""

KEPT_VERSIONS = (
    "earlier versions, where the bucket has versioning, until its lifecycle rule deletes them: "
    "these credentials may not (s3:ListBucketVersions, s3:DeleteObjectVersion)"
)

_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_MISSING = {"NoSuchKey", "404"}


class S3BlobStore:
    """A key is an object's key behind the prefix. S3 itself makes each put atomic."""

    def __init__(self, client: Any, bucket: str, prefix: str, read_timeout_s: float) -> None:
        self._client = client
        self._read_timeout_s = read_timeout_s
        self._bucket = bucket
        self._prefix = prefix

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        where = {"Bucket": self._bucket, "Key": self._prefix + key}
        with self._request(key, len(data)):
            if len(data) <= 2 * PART:
                await self._client.put_object(**where, Body=data, ContentType=content_type)
            else:
                await self._put_in_parts(where, data, content_type)

    async def get(self, key: str) -> bytes:
        with self._request(key):
            answer = await self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
        with self._request(key, answer["ContentLength"]):
            async with answer["Body"] as body:
                blob: bytes = await body.read()
                return blob

    async def delete(self, key: str) -> None:
        with self._request(key):
            await self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    async def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        where: dict[str, str] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        while True:
            with self._request(prefix):
                page = await self._client.list_objects_v2(**where)
            for entry in page.get("Contents", ()):
                yield entry["Key"].removeprefix(self._prefix)
            if not page.get("IsTruncated"):
                break
            where["ContinuationToken"] = page["NextContinuationToken"]

    async def url(self, key: str) -> str | None:
        with self._request(key):
            signed: str = await self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": self._prefix + key}, ExpiresIn=SIGNED_FOR_S
            )
        return signed

    async def purge_versions(self, prefix: str) -> Sequence[str]:
        """Needs `s3:ListBucketVersions` and `s3:DeleteObjectVersion`; without them the lifecycle rule has to do it."""
        where: dict[str, str] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        try:
            while True:
                with self._request(prefix):
                    page = await self._client.list_object_versions(**where)
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    if not (entry["IsLatest"] and "Size" in entry):  # the current version of another blob stays
                        version = {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                        with self._request(prefix):
                            await self._client.delete_object(Bucket=self._bucket, **version)
                if not page.get("IsTruncated"):
                    return ()
                where["KeyMarker"] = page["NextKeyMarker"]
                where["VersionIdMarker"] = page["NextVersionIdMarker"]
        except ProviderRefused:
            return (KEPT_VERSIONS,)

    @contextmanager
    def _request(self, key: str, size: int = 0) -> Iterator[None]:
        """Translates errors. A request that takes much too long for so many bytes is ProviderDown."""
        with _translate_errors(key), anyio.fail_after(2 * self._read_timeout_s + size / MIN_BYTES_PER_S):
            yield

    async def _put_in_parts(self, where: dict[str, str], data: bytes, content_type: str) -> None:
        begun = await self._client.create_multipart_upload(**where, ContentType=content_type)
        upload = {**where, "UploadId": begun["UploadId"]}
        limiter = anyio.CapacityLimiter(CONCURRENT_PARTS)
        parts: dict[int, str] = {}

        async def send(number: int) -> None:
            async with limiter:
                part = data[(number - 1) * PART : number * PART]
                parts[number] = (await self._client.upload_part(**upload, PartNumber=number, Body=part))["ETag"]

        try:
            async with anyio.create_task_group() as tasks:
                for number in range(1, -(-len(data) // PART) + 1):
                    tasks.start_soon(send, number)
            whole = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(parts.items())]
            await self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": whole})
        except BaseException as error:
            # parts that stay are paid for; those of a store that is gone, its lifecycle rule clears
            with anyio.CancelScope(shield=True), suppress(ClientError, BotoCoreError, aiohttp.ClientError, OSError):
                await self._client.abort_multipart_upload(**upload)
            if isinstance(error, BaseExceptionGroup):
                raise flatten(error)[0] from error  # the other parts were cancelled because of it
            raise


@contextmanager
def _translate_errors(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _translate(error, key) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ProviderRefused("s3", "there are no credentials for the bucket") from error
    except (BotoCoreError, aiohttp.ClientError, OSError) as error:
        raise ProviderDown("s3", "the store cannot be reached, or went away") from error


def _translate(error: ClientError, key: str) -> ProviderError | BlobNotFound:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _MISSING:
        return BlobNotFound(key)
    if code in _BUSY or status in (429, 503):
        return ProviderBusy("s3", "the store asks to slow down")
    if status >= 500 or code == "RequestTimeout":
        return ProviderDown("s3", f"the store answered {status}")
    return ProviderRefused("s3", f"the store refused with {status} {code}".rstrip())


_ONLY = "when_required"
"""Other services than AWS refuse requests with the checksum headers that the SDK sends by default."""


@asynccontextmanager
async def open_s3(
    *,
    bucket: str,
    prefix: str = "",
    endpoint_url: str | None = None,
    region: str | None = None,
    read_timeout_s: float = 20.0,
) -> AsyncIterator[S3BlobStore]:
    """A store in this bucket; credentials come from the SDK's own chain. Nothing is requested yet."""
    config = Config(
        connect_timeout=5,
        read_timeout=read_timeout_s,
        max_pool_connections=50,
        retries={"total_max_attempts": 1},  # because the uploader has the only retry loop
        signature_version="s3v4",
        **({"request_checksum_calculation": _ONLY, "response_checksum_validation": _ONLY} if endpoint_url else {}),
    )
    try:
        async with aioboto3.Session().client(
            "s3", endpoint_url=endpoint_url, region_name=region, config=config
        ) as client:
            yield S3BlobStore(client, bucket, prefix, read_timeout_s)
    except ValueError as error:
        raise ProviderRefused("s3", f"{endpoint_url} is no address of a store") from error
