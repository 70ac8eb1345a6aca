"""Finds what a tenant has of one person."""

from contextlib import aclosing
from dataclasses import dataclass, field

from app.domain.errors import BlobNotFound, BlobUnreadable
from app.domain.recording.listing import RecordingRef
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.rows_export import FoundRows, RowsExport


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
    """Reads the manifest of every recording of the tenant, one after the other. Raises a ProviderError."""
    result = PersonRecordings(tenant, person)
    if rows is not None:
        result.rows = await rows.find(tenant, person)
    async with aclosing(recordings.list_refs(tenant=tenant)) as refs:
        async for ref in refs:
            try:
                manifest = await recordings.manifest_at(ref)
            except BlobNotFound:
                continue  # begun, and nothing of it is stored yet
            except BlobUnreadable:
                result.unreadable.append(ref)
                continue
            if (manifest.tenant, manifest.person) == (tenant, person):
                result.found.append(ref)
    return result
