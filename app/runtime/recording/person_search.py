"""Finds a tenant's recordings of one person."""

from contextlib import aclosing
from dataclasses import dataclass, field

from app.domain.errors import BlobNotFound, BlobUnreadable
from app.domain.recording.listing import RecordingRef
from app.runtime.recording.recording_store import RecordingStore


@dataclass(slots=True)
class PersonRecordings:
    tenant: str
    person: str
    found: list[RecordingRef] = field(default_factory=list)
    unreadable: list[RecordingRef] = field(default_factory=list)
    """Of the same tenant, with a manifest that cannot be read: any of them may be this person's."""


async def find_person(recordings: RecordingStore, tenant: str, person: str) -> PersonRecordings:
    """Reads the manifest of every recording of the tenant, one after the other. Raises a ProviderError."""
    result = PersonRecordings(tenant, person)
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
