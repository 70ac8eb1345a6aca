"""The recordings of a person are found by the index, and by the manifests of those that it does not have."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from app.data.database import open_database
from app.data.recording_index import RecordingIndexTable
from app.domain.recording.blob_keys import index_key, manifest_key, session_folder
from app.domain.recording.listing import RecordingRef, RecordingState, day_of
from app.domain.recording.manifest import Manifest
from app.runtime.recording import person_search
from app.runtime.recording.person_search import find_person
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.session_upload import encode_manifest
from tests.fakes import MemoryBlobStore
from tests.manifests import NOON, manifest

pytestmark = pytest.mark.anyio
PERSONS = ("anna", "bert", None)


@dataclass
class ReadingStore(MemoryBlobStore):
    """Notes which sessions' blobs were read."""

    read: list[str] = field(default_factory=list)

    async def get(self, key: str) -> bytes:
        self.read.append(key.split("/")[-2])
        return await super().get(key)

    def add(self, said: Manifest) -> RecordingRef:
        folder = session_folder(said.session, said.started)
        self.blobs[index_key(folder, said.tenant)] = b""
        self.blobs[manifest_key(folder)] = encode_manifest(said)
        return RecordingRef(day_of(said), said.session, said.tenant)

    def damage(self, ref: RecordingRef) -> None:
        self.blobs[manifest_key(session_folder(ref.session, ref.day))] = b"{"


async def test_person_is_found_in_the_index_and_what_it_does_not_have_is_read(url, monkeypatch):
    """Recordings that are live, wait to be indexed, or cannot be read; in batches smaller than they are many."""
    monkeypatch.setattr(person_search, "BATCH", 4)
    store = ReadingStore()
    said = [
        manifest("hello", number=number, at=NOON + timedelta(days=number), tenant="acme", person=PERSONS[number % 3])
        for number in range(12)
    ]
    said[6] = replace(said[6], ended=None)
    said[7] = replace(said[7], tenant="globex", person="anna")
    refs = [store.add(each) for each in said]
    async with open_database(url) as database:
        index = RecordingIndexTable(database)
        await index.write([each for number, each in enumerate(said) if number not in {3, 4, 10}])
        await index.write_unread({refs[10]: RecordingState.UNREADABLE, refs[4]: RecordingState.BEGUN})
        for number in (9, 10):
            store.damage(refs[number])

        found = await find_person(RecordingStore(store, index=index), "acme", "anna")
        read = sorted(store.read)
        without = await find_person(RecordingStore(store), "acme", "anna")

    assert [refs.index(each) for each in found.found] == [0, 3, 6, 9]
    assert [refs.index(each) for each in found.unreadable] == [10]
    assert read == sorted(refs[number].session for number in (3, 4, 6, 10))
    assert [refs.index(each) for each in without.found] == [0, 3, 6]
    assert [refs.index(each) for each in without.unreadable] == [9, 10]
