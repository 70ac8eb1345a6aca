"""A blob store whose blobs nobody reads without the key."""

from collections.abc import AsyncGenerator

from app.domain.ports import BlobStore
from storage.aes import AesCipher

_MARK = b"PLYs"
_OCTETS = "application/octet-stream"


class EncryptedBlobStore:
    """Keys stay readable; blobs do not. Blobs from before there was a key are still read."""

    def __init__(self, store: BlobStore, seal: AesCipher) -> None:
        self._store = store
        self._seal = seal

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:  # noqa: ARG002 because nobody may know
        await self._store.put(key, _MARK + self._seal.close(data, key), content_type=_OCTETS)

    async def get(self, key: str) -> bytes:
        blob = await self._store.get(key)
        return self._seal.open(blob[len(_MARK) :], key) if blob.startswith(_MARK) else blob

    async def delete(self, key: str) -> None:
        await self._store.delete(key)

    def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        return self._store.keys(prefix)

    async def url(self, key: str) -> str | None:  # noqa: ARG002 because whoever followed it could not read it
        return None
