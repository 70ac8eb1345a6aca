"""Blobs in a container of Azure Blob Storage."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError
from azure.identity.aio import DefaultAzureCredential
from azure.storage.blob import BlobSasPermissions, ContentSettings, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from app.domain.errors import (
    BlobNotFound,
    ProviderBusy,
    ProviderDown,
    ProviderError,
    ProviderMisbehaved,
    ProviderRefused,
)

BLOCK = 8 << 20
"""Bytes in a block. A larger blob is sent in blocks, a few at once, and appears when they are committed."""
CONCURRENT_BLOCKS = 4
SIGNED_FOR = timedelta(hours=1)
MIN_BYTES_PER_S = 64_000
"""A slower transfer counts as a lost connection."""
KEPT_BLOBS = "deleted blobs, where soft delete is on, for as long as it is set to: these credentials may not ask"
CLOCK_SKEW = timedelta(minutes=5)


class AzureBlobStore:
    """A key is a blob's name behind the prefix. The service itself makes each put atomic."""

    def __init__(self, service: BlobServiceClient, container: str, prefix: str, read_timeout_s: float) -> None:
        self._service = service
        self._read_timeout_s = read_timeout_s
        self._container = service.get_container_client(container)
        self._prefix = prefix

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        with self._request(key, len(data)):
            await self._container.upload_blob(
                self._prefix + key,
                data,
                overwrite=True,
                content_settings=ContentSettings(content_type=content_type),
                max_concurrency=CONCURRENT_BLOCKS,
            )

    async def get(self, key: str) -> bytes:
        with self._request(key):
            stream = await self._container.download_blob(self._prefix + key, max_concurrency=CONCURRENT_BLOCKS)
        with self._request(key, stream.size):
            blob: bytes = await stream.readall()
            return blob

    async def delete(self, key: str) -> None:
        with suppress(BlobNotFound), self._request(key):
            await self._container.delete_blob(self._prefix + key)

    async def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        pages = self._container.list_blob_names(name_starts_with=self._prefix + prefix).by_page()
        while True:
            with self._request(prefix):
                try:
                    names = [name async for name in await anext(pages)]
                except StopAsyncIteration:
                    return
            for name in names:
                yield name.removeprefix(self._prefix)

    async def url(self, key: str) -> str | None:
        """A link for reading, good for an hour; None where all there is to sign with is a SAS of our own."""
        blob = self._container.get_blob_client(self._prefix + key)
        now = datetime.now(UTC)
        credential = self._service.credential
        user_key = None
        if isinstance(credential, AsyncTokenCredential):
            with self._request(key):
                user_key = await self._service.get_user_delegation_key(now - CLOCK_SKEW, now + SIGNED_FOR)
        elif not hasattr(credential, "account_key"):
            return None
        signature = generate_blob_sas(
            str(blob.account_name),
            blob.container_name,
            blob.blob_name,
            account_key=None if user_key else credential.account_key,
            user_delegation_key=user_key,
            permission=BlobSasPermissions(read=True),
            start=now - CLOCK_SKEW,
            expiry=now + SIGNED_FOR,
        )
        return f"{blob.url}?{signature}"

    async def purge_versions(self, prefix: str) -> Sequence[str]:
        """Azure lets nobody delete what soft delete keeps: it says how long that is."""
        try:
            with self._request(prefix):
                properties = await self._service.get_service_properties()
        except ProviderRefused:
            return (KEPT_BLOBS,)
        policy = properties.get("delete_retention_policy")
        return (f"deleted blobs, for {policy.days} days by soft delete",) if policy and policy.enabled else ()

    @contextmanager
    def _request(self, key: str, size: int = 0) -> Iterator[None]:
        """Translates errors. A request that takes much too long for so many bytes is ProviderDown."""
        with _translate_errors(key), anyio.fail_after(2 * self._read_timeout_s + size / MIN_BYTES_PER_S):
            yield


@contextmanager
def _translate_errors(key: str) -> Iterator[None]:
    try:
        yield
    except AzureError as error:
        raise _translate(error, key) from error
    except (TimeoutError, OSError) as error:
        raise ProviderDown("azure", "the store cannot be reached, or went away") from error
    except ValueError as error:  # what the SDK raises for a response without the headers it needs
        raise ProviderMisbehaved("azure", "the store gave an answer that makes no sense") from error


def _translate(error: AzureError, key: str) -> ProviderError | BlobNotFound:
    code = str(getattr(error, "error_code", None) or "")
    match error:
        case ResourceNotFoundError() if code in ("BlobNotFound", ""):
            return BlobNotFound(key)
        case ClientAuthenticationError() | CredentialUnavailableError():
            return ProviderRefused("azure", "the store does not accept the credentials")
        case ServiceRequestError() | ServiceResponseError():
            return ProviderDown("azure", "the store cannot be reached, or went away")
        case HttpResponseError(status_code=int(status)):
            if status == 429 or code == "ServerBusy" or status == 503:
                return ProviderBusy("azure", "the store asks to slow down")
            if status >= 500 or status == 408:
                return ProviderDown("azure", f"the store answered {status}")
            return ProviderRefused("azure", f"the store refused with {status} {code}".rstrip())
        case _:
            return ProviderDown("azure", "the store's answer broke off")


@asynccontextmanager
async def open_azure(
    *,
    container: str,
    connection_string: str | None = None,
    account_url: str | None = None,
    sas_token: str | None = None,
    prefix: str = "",
    read_timeout_s: float = 20.0,
) -> AsyncIterator[AzureBlobStore]:
    """A store in this container; nothing is requested yet.

    With a connection string that is all it takes. With an account's address it is the
    SAS token, or without one the identity of where this runs: workload identity,
    managed identity, or the signed-in user.
    """
    # because the uploader has the only retry loop
    options: dict[str, Any] = {
        "retry_total": 0,
        "connection_timeout": 5,
        "read_timeout": read_timeout_s,
        "max_single_put_size": BLOCK,
        "max_block_size": BLOCK,
    }
    async with AsyncExitStack() as stack:
        try:
            if connection_string:
                service = BlobServiceClient.from_connection_string(connection_string, **options)
            elif account_url:
                credential = None if sas_token else await stack.enter_async_context(DefaultAzureCredential())
                service = BlobServiceClient(account_url, credential=sas_token or credential, **options)
            else:
                raise ProviderRefused("azure", "neither a connection string nor an account's address is set")
        except ValueError as error:
            raise ProviderRefused("azure", "the connection string or the account's address cannot be read") from error
        await stack.enter_async_context(service)
        yield AzureBlobStore(service, container, prefix, read_timeout_s)
