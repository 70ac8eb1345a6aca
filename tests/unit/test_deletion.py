"""Deletion of a session: with several processes on one store, nothing of it is left, and nothing comes back."""

from datetime import UTC, datetime, timedelta

import anyio
import msgspec
import pytest

from app.data.database import open_database
from app.data.leases import LeaseTable
from app.data.recording_index import RecordingIndexTable
from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.errors import BlobNotFound, BlobUnreadable, ProviderDown
from app.domain.recording.listing import RecordingFilter
from app.domain.transcript import Hypothesis
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.jobs.retranscription import retranscribe
from app.runtime.recording.tombstones import KEEP_DAYS, Tombstones
from app.runtime.recording.uploader import Uploader
from tests.eventually import until
from tests.fakes import MemoryBlobStore, MemorySessionLog, ScriptedDetector, ScriptedTranscriber

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SECOND = b"\1\0" * ms(1000)


def process(store, **options) -> Uploader:
    """One of several processes: the store is shared, the session log is its own."""
    quick = {"chunk_ms": 1000, "write_interval_s": 0.0, "first_pause_s": 0.0, "disk_timeout_s": 0.0}
    return Uploader(MemorySessionLog(), store, **{"now": lambda: NOON, **quick, **options})


async def speak(recorder, seconds: int) -> None:
    for _ in range(seconds):
        start = recorder.received_samples
        await recorder.write_audio(AudioChunk(SECOND, start))
        await anyio.lowlevel.checkpoint()
        final = Hypothesis("what was said", is_final=True)
        recorder.record(do.ShowFinal(1, 1, final, start, start + ms(900), start + ms(1000), None), None)


async def record(uploader: Uploader, session: str, seconds: int = 3) -> None:
    async with uploader.record_session(session) as recorder:
        await speak(recorder, seconds)


async def is_uploaded(uploader: Uploader) -> bool:
    return not uploader.session_log.records


async def test_deletion_on_one_process_of_a_session_that_another_records_leaves_nothing():
    """The process that records it stops, removes what it stored, and writes no manifest at the end."""
    store = MemoryBlobStore()
    owner, other = process(store), process(store)

    async with owner.running(), other.running():
        async with owner.record_session("one") as recorder:
            await speak(recorder, 3)
            await until(lambda: has_manifest(store))
            await other.delete("one", "default")
            await speak(recorder, 3)
            await until(lambda: is_stopped(recorder))
            await speak(recorder, 3)
        await until(lambda: is_uploaded(owner))

    assert store.recorded == {}
    assert owner.session_log.records == {}
    assert await owner.owner("one") is None
    assert [ref async for ref in other.recordings.list_refs()] == []


async def has_manifest(store) -> bool:
    return any(key.endswith("manifest.json") for key in store.blobs)


async def is_stopped(recorder) -> bool:
    return not recorder.enabled


async def test_deletion_reaches_a_session_log_of_a_process_that_was_down():
    """Its next start uploads nothing of a session that was deleted meanwhile."""
    store = MemoryBlobStore()
    crashed, other = process(store), process(store)
    await record(crashed, "one")
    await other.delete("one", "default")

    async with crashed.running():
        await until(lambda: is_uploaded(crashed))

    assert store.recorded == {}


class DeletedMeanwhile(MemoryBlobStore):
    """Another process deletes the session at the moment when a blob of this name is put."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        if self.name in key and not key.startswith("tombstones"):
            self.name = "none"
            await process(self).delete("one", "default")
        await super().put(key, data, content_type=content_type)


@pytest.mark.parametrize("name", ["index/", "000000016000", "manifest.json"])
async def test_deletion_in_the_middle_of_an_upload_leaves_nothing(name):
    """Whichever blob is just being stored."""
    store = DeletedMeanwhile(name)
    uploader = process(store)

    async with uploader.running():
        await record(uploader, "one")

    assert store.name == "none"
    assert store.recorded == {}
    assert uploader.session_log.records == {}


@pytest.mark.parametrize("name", ["transcripts/", "manifest.json"])
async def test_deletion_while_a_recording_is_transcribed_again_leaves_nothing(name):
    """The new transcript does not bring the manifest back."""
    store = DeletedMeanwhile("nothing yet")
    uploader = process(store)
    async with uploader.running():
        await record(uploader, "one")
    manifest = await uploader.recordings.manifest("one")
    store.name = name
    transcriber = BatchTranscriber(ScriptedDetector(), ScriptedTranscriber(), None)

    with pytest.raises(BlobNotFound):
        await retranscribe(uploader.recordings, manifest, transcriber, now=NOON, on_progress=lambda _: None)

    assert store.recorded == {}


async def test_deletion_that_fails_half_way_is_finished_by_the_next():
    """A blob that could not be deleted can still be found and deleted."""
    store = MemoryBlobStore()
    uploader = process(store)
    async with uploader.running():
        await record(uploader, "one")
    delete = store.delete

    async def failing(key: str) -> None:
        if key.endswith("manifest.json"):
            raise ProviderDown("scripted", "asked to fail")
        await delete(key)

    store.delete = failing
    with pytest.raises(ProviderDown):
        await uploader.delete("one", "default")
    store.delete = delete

    receipt = await uploader.delete("one", await uploader.owner("one"))

    assert receipt.deleted["blobs"] == 1
    assert store.recorded == {}


async def test_deletion_reaches_whatever_else_keeps_data_of_the_session():
    """Each eraser is asked; the receipt counts what each of them deleted."""
    asked = []

    class Eraser:
        async def erase_session(self, session: str) -> dict[str, int]:
            asked.append(session)
            return {"decisions": 6}

    uploader = process(MemoryBlobStore(), erasers=[Eraser()])
    async with uploader.running():
        await record(uploader, "one")

    receipt = await uploader.delete("one", "default")

    assert asked == ["one"]
    assert receipt.deleted == {"decisions": 6, "spoolLogs": 0, "blobs": 4}


class SharedLiveSessions:
    """What all processes announce, in memory."""

    def __init__(self) -> None:
        self.announced = frozenset()

    async def announce(self, sessions) -> None:
        self.announced = frozenset(sessions)

    async def everywhere(self) -> frozenset[str]:
        return self.announced


async def test_retention_spares_a_session_that_another_process_records(tmp_path):
    """However old the day in its id is; it is deleted when it is over."""
    store, shared = MemoryBlobStore(), SharedLiveSessions()
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database:
        options = {
            "all_live_sessions": shared,
            "index": RecordingIndexTable(database),
            "leases": LeaseTable(database),
        }
        owner = process(store, now=lambda: NOON - timedelta(days=9), **options)
        other = process(store, keep_days=7, **options)
        await retention_spares_what_is_live(owner, other, store, shared)


async def retention_spares_what_is_live(owner, other, store, shared) -> None:
    async with owner.running():
        async with owner.record_session("one") as recorder:
            await speak(recorder, 3)
            await until(lambda: is_listed(owner, "one"))

            assert await other.retention.delete_expired() == 0
        await until(lambda: is_uploaded(owner))
        await until(lambda: is_announced(shared, 0))

    assert await other.retention.delete_expired() == 1


async def is_listed(uploader: Uploader, session: str) -> bool:
    return session in [each.session for each in (await uploader.index.find(RecordingFilter())).recordings]


async def is_announced(shared: SharedLiveSessions, count: int) -> bool:
    return len(shared.announced) == count


async def test_tombstones_are_pruned_when_no_spool_can_be_that_old():
    """Not a day before."""
    tombstones = Tombstones(MemoryBlobStore())
    await tombstones.write("one", NOON)

    await tombstones.prune(NOON + timedelta(days=KEEP_DAYS))
    assert await tombstones.exists("one")
    await tombstones.prune(NOON + timedelta(days=KEEP_DAYS + 1))

    assert tombstones.store.blobs == {}


async def test_a_tombstone_under_an_earlier_key_is_a_tombstone():
    """That it cannot be decrypted does not undo the deletion."""

    class OtherKey(MemoryBlobStore):
        async def get(self, key: str) -> bytes:
            raise BlobUnreadable("archive", "encrypted with another key")

    assert await Tombstones(OtherKey()).exists("one")


async def test_transcribing_again_keeps_what_a_later_version_wrote_into_the_manifest():
    """Of the whole recording and of a chunk."""
    store = MemoryBlobStore()
    uploader = process(store)
    async with uploader.running():
        await record(uploader, "one")
    (key,) = [key for key in store.blobs if key.endswith("manifest.json")]
    stored = msgspec.json.decode(store.blobs[key])
    stored["mood"], stored["chunks"][1]["loudness"] = "good", -23.5
    store.blobs[key] = msgspec.json.encode(stored)

    transcriber = BatchTranscriber(ScriptedDetector(), ScriptedTranscriber("again"), None, "other")
    manifest = await uploader.recordings.manifest("one")
    await retranscribe(uploader.recordings, manifest, transcriber, now=NOON, on_progress=lambda _: None)

    after = msgspec.json.decode(store.blobs[key])
    assert (after["mood"], after["chunks"][1]["loudness"]) == ("good", -23.5)
    assert len(after["transcripts"]) == 1
