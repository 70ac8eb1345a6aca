"""Finds what a tenant has of one person."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from app.domain.errors import BlobNotFound, BlobUnreadable
from app.domain.recording.listing import RecordingRef
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.rows_export import FoundRows, RowsExport

BATCH = 500
"""Recordings that the index is asked for at once."""


@dataclass(slots=True)
class PersonRecordings:
    tenant: str
    person: str
    found: list[RecordingRef] = field(default_factory=list)
    unreadable: list[RecordingRef] = field(default_factory=list)
    """Of the same tenant, with a manifest that cannot be read: any of them may be this person's."""
    rows: FoundRows = field(default_factory=FoundRows)
    """Conversations and jobs."""

    @property
    def is_empty(self) -> bool:
        return not (self.found or self.unreadable or self.rows)


async def find_person(
    recordings: RecordingStore, tenant: str, person: str, rows: RowsExport | None = None
) -> PersonRecordings:
    """Lists the recordings of the tenant, and reads the manifest of each that the index does not have as it stays.

    Those are the live ones, those that wait to be indexed, and those that cannot be read. Raises a ProviderError.
    """
    result = PersonRecordings(tenant, person)
    if rows is not None:
        result.rows = await rows.find(tenant, person)
    async with aclosing(recordings.list_refs(tenant=tenant)) as refs:
        batch: list[RecordingRef] = []
        async for ref in refs:
            batch.append(ref)
            if len(batch) == BATCH:
                await _search(recordings, batch, result)
                batch = []
        await _search(recordings, batch, result)
    return result


async def _search(recordings: RecordingStore, refs: Sequence[RecordingRef], result: PersonRecordings) -> None:
    """Those of these recordings that are the person's, in their order."""
    sessions = [ref.session for ref in refs]
    indexed = await recordings.index.persons(result.tenant, sessions) if recordings.index and sessions else {}
    for ref in refs:
        if ref.session in indexed:
            if indexed[ref.session] == result.person:
                result.found.append(ref)
            continue
        try:
            manifest = await recordings.manifest_at(ref)
        except BlobNotFound:
            continue  # begun, and nothing of it is stored yet
        except BlobUnreadable:
            result.unreadable.append(ref)
            continue
        if (manifest.tenant, manifest.person) == (result.tenant, result.person):
            result.found.append(ref)
