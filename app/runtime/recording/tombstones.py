"""Tombstones: marks in the blob store that a session was deleted, so that no late writer stores any of it again.

A deletion writes the tombstone before it deletes a blob. Whoever stores blobs of a session looks for its tombstone
before and after: in every order of the two, one of them sees what the other has written.
"""

from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.errors import BlobNotFound, BlobUnreadable
from app.domain.ports import BlobStore
from app.domain.recording.blob_keys import TOMBSTONE_DAYS, index_key, tombstone_day_key, tombstone_key

KEEP_DAYS = 90
"""How long a tombstone stays; a spool that is found later than this could store its session again."""


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Every method raises a ProviderError where the store fails."""

    store: BlobStore

    async def write(self, session: str, at: datetime) -> None:
        """The entry by day comes first, so that every tombstone is pruned one day."""
        for key in (tombstone_day_key(session, at.date().isoformat()), tombstone_key(session)):
            await self.store.put(key, b"{}", content_type="application/json")

    async def exists(self, session: str) -> bool:
        """Whether the session was deleted."""
        try:
            await self.store.get(tombstone_key(session))
        except BlobNotFound:
            return False
        except BlobUnreadable:  # encrypted with an earlier key, and no less there
            return True
        return True

    async def prune(self, now: datetime) -> None:
        """Remove the tombstones that are older than KEEP_DAYS."""
        oldest = (now - timedelta(days=KEEP_DAYS)).date().isoformat()
        async with aclosing(self.store.keys(TOMBSTONE_DAYS)) as keys:
            expired = [key async for key in keys if key.removeprefix(TOMBSTONE_DAYS) < oldest]
        for key in expired:
            await self.store.delete(tombstone_key(key.rpartition("/")[2]))
            await self.store.delete(key)


@dataclass(frozen=True, slots=True)
class DeletedBlobs:
    count: int = 0
    remaining: tuple[str, ...] = ()
    """What the store keeps all the same, and until when; a sentence each."""


async def delete_blobs(store: BlobStore, folder: str, tenant: str) -> DeletedBlobs:
    """Delete every blob of a session with its earlier versions: audio first, then the manifest, the index last."""
    async with aclosing(store.keys(f"{folder}/")) as keys:
        blobs = sorted([key async for key in keys], key=lambda key: key.endswith("/manifest.json"))
    for key in blobs:
        await store.delete(key)
    remaining = await store.purge_versions(f"{folder}/")
    await store.delete(index_key(folder, tenant))
    await store.purge_versions(index_key(folder, tenant))
    return DeletedBlobs(len(blobs), tuple(remaining))
