"""The recordings index: what lists and searches recordings without reading the blob store."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from app.domain.recording.listing import RecordingFilter, RecordingPage, RecordingRef, RecordingState
from app.domain.recording.manifest import Manifest


class RecordingIndex(Protocol):
    """Every method raises ProviderBusy where the database is unavailable."""

    async def write(self, manifests: Sequence[Manifest]) -> frozenset[str]:
        """Insert or replace what is known of these recordings. Returns those that were deleted and are left out."""
        ...

    async def write_unread(self, refs: Mapping[RecordingRef, RecordingState]) -> None:
        """Insert recordings of which there is no manifest to read: BEGUN or UNREADABLE."""
        ...

    async def remove(self, session: str) -> None:
        """Remove the recording; one of the same id may be written again."""
        ...

    async def begin_deletion(self, session: str, tenant: str, at: datetime) -> int:
        """Remove the recording for good; its blobs are still there. How many rows there were."""
        ...

    async def finish_deletion(self, session: str) -> None:
        """Its blobs are gone, too. Nothing happens where its deletion was not begun."""
        ...

    async def find(self, criteria: RecordingFilter) -> RecordingPage: ...

    async def expired(
        self, before: str, of_tenants: Mapping[str, str], after: RecordingRef | None, limit: int
    ) -> Sequence[RecordingRef]:
        """Recordings of days before `before`, or before that of their tenant, the oldest first, after `after`."""
        ...

    async def half_deleted(self) -> Sequence[RecordingRef]:
        """Recordings whose deletion was begun and not finished."""
        ...

    async def forget_deleted(self, before: datetime) -> None:
        """Remove the marks of recordings that were deleted before this moment."""
        ...

    async def over(self, sessions: Collection[str]) -> frozenset[str]:
        """Those of these recordings that the index has, and that will not change any more by themselves."""
        ...

    async def persons(self, tenant: str, sessions: Collection[str]) -> Mapping[str, str | None]:
        """Who speaks in those of these recordings of the tenant that will not change any more by themselves."""
        ...

    async def written_before(
        self, moment: datetime, tenant: str | None, after: RecordingRef | None, limit: int
    ) -> Sequence[RecordingRef]:
        """Recordings that were not written since this moment, the oldest first, after `after`."""
        ...
