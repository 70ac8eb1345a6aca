"""A blob store that encrypts what it is given before another store keeps it."""

from collections.abc import AsyncGenerator

from anyio import to_thread

from app.domain.ports import BlobStore
from storage.aes import AesCipher

_MARK = b"PLYs"
_OCTETS = "application/octet-stream"


class EncryptedBlobStore:
    """Keys stay readable; blobs do not. Blobs from before there was a key are still read."""

    def __init__(self, store: BlobStore, cipher: AesCipher) -> None:
        self._store = store
        self._cipher = cipher

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:  # noqa: ARG002 because it would tell what is inside
        ciphertext = await to_thread.run_sync(self._cipher.encrypt, data, key)
        await self._store.put(key, _MARK + ciphertext, content_type=_OCTETS)

    async def get(self, key: str) -> bytes:
        """Raises BlobUnreadable where it was encrypted with another key, besides what the store raises."""
        blob = await self._store.get(key)
        if not blob.startswith(_MARK):
            return blob
        return await to_thread.run_sync(self._cipher.decrypt, blob[len(_MARK) :], key)

    async def delete(self, key: str) -> None:
        await self._store.delete(key)

    def keys(self, prefix: str = "") -> AsyncGenerator[str, None]:
        return self._store.keys(prefix)

    async def url(self, key: str) -> str | None:  # noqa: ARG002 because whoever followed it could not read it
        return None
