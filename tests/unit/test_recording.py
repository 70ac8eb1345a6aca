"""Upload from the session log to the blob store: every sample once and in its place, whatever fails on the way."""

import itertools
import random
import resource
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import anyio
import msgspec
import pytest

from app.data.database import open_database
from app.data.leases import LeaseTable
from app.data.recording_index import RecordingIndexTable
from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.errors import (
    BlobNotFound,
    ProviderBusy,
    ProviderDown,
    ProviderMisbehaved,
    ProviderRefused,
)
from app.domain.recording.manifest import Manifest
from app.domain.recording.session_id import date_of
from app.domain.tenant import Tenant
from app.domain.transcript import Hypothesis
from app.media.decode import decode_exactly
from app.runtime.ids import new_id
from app.runtime.recording.uploader import Uploader
from storage.aes import AesCipher
from storage.encrypted import EncryptedBlobStore
from storage.filesystem import open_filesystem
from storage.session_log import open_session_log
from tests.fakes import MemoryBlobStore, MemorySessionLog

pytestmark = pytest.mark.anyio
PIECE_MS = 100
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def noise(seconds: float, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(2 * int(16_000 * seconds))


def quick(session_log, store, **options) -> Uploader:
    given = {
        "now": lambda: NOON,
        "chunk_ms": 1000,
        "write_interval_s": 0.0,
        "first_pause_s": 0.0,
        "disk_timeout_s": 0.0,
    }
    return Uploader(session_log, store, **{**given, **options})


@pytest.fixture
async def indexed(tmp_path):
    """Options of uploaders that share a recordings index."""
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database:
        yield {"index": RecordingIndexTable(database), "leases": LeaseTable(database)}


async def record(uploader: Uploader, pcm: bytes, session: str = "one", acknowledge=lambda samples: None) -> None:
    async with uploader.record_session(session, acknowledge=acknowledge) as recorder:
        for at in range(0, len(pcm), size := 2 * ms(PIECE_MS)):
            await recorder.write_audio(AudioChunk(pcm[at : at + size], at // 2))


async def manifest_of(store, session: str = "one") -> Manifest:
    (key,) = [k async for k in store.keys("sessions/") if k.endswith(f"/{session}/manifest.json")]
    return msgspec.json.decode(await store.get(key), type=Manifest)


async def assert_whole(store, pcm: bytes, session: str = "one") -> Manifest:
    """Every sample is there once, in its place, and the manifest says so."""
    manifest = await manifest_of(store, session)
    assert manifest.samples == len(pcm) // 2
    assert [chunk.start for chunk in manifest.chunks] == [0, *(chunk.end for chunk in manifest.chunks[:-1])]
    for chunk in manifest.chunks:
        blob = await store.get(chunk.key)
        assert sha256(blob).hexdigest() == chunk.sha256
        assert decode_exactly(blob, chunk.end - chunk.start) == pcm[2 * chunk.start : 2 * chunk.end]
    return manifest


async def wait_until_uploaded(session_log) -> None:
    """Until everything is stored."""
    with anyio.fail_after(5):
        while await session_log.sessions():  # noqa: ASYNC110 because the disk tells nobody
            await anyio.sleep(0.001)


class ScriptedBlobStore(MemoryBlobStore):
    """Remembers the order of puts; fails as its script says, then no more."""

    def __init__(self, *script) -> None:
        super().__init__()
        self.script = list(script)
        self.puts = []

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        fault = self.script.pop(0) if self.script else None
        if isinstance(fault, type):  # it fails behind the write
            await super().put(key, data, content_type=content_type)
            raise fault("scripted", "asked to fail behind the write")
        if fault:
            raise fault
        self.puts.append(key)
        await super().put(key, data, content_type=content_type)


async def test_upload_stores_chunks_in_order_and_the_manifest_last():
    """Each blob once; the manifest is written when all it names is there."""
    store, pcm = ScriptedBlobStore(), noise(3.5)
    uploader = quick(MemorySessionLog(), store)

    async with uploader.running():
        await record(uploader, pcm)

    chunks = [key for key in store.puts if key.endswith(".flac")]
    assert chunks == [f"sessions/2026-01-02/one/{at * 16_000:012d}.flac" for at in range(4)]
    assert store.puts[-1] == "sessions/2026-01-02/one/manifest.json"
    manifest = await assert_whole(store, pcm)
    assert (manifest.ended, manifest.recovered) == (NOON.isoformat(timespec="milliseconds"), False)
    assert uploader.session_log.records == {}


@pytest.mark.parametrize("fault", [ProviderDown, ProviderBusy, ProviderRefused, ProviderMisbehaved])
@pytest.mark.parametrize("behind", [False, True], ids=["before the write", "behind the write"])
async def test_upload_is_retried_when_the_blob_store_fails(fault, behind):
    """Every kind of failure, at every put in turn: nothing is lost and nothing doubled."""
    pcm = noise(2.5)
    for good in range(6):
        script = [None] * good + ([fault] * 3 if behind else [fault("scripted", "asked to fail")] * 3)
        store = ScriptedBlobStore(*script)
        uploader = quick(MemorySessionLog(), store)

        async with uploader.running():
            await record(uploader, pcm)
            await wait_until_uploaded(uploader.session_log)

        await assert_whole(store, pcm)
        assert len([key for key in store.blobs if key.endswith(".flac")]) == 3
        assert uploader.status().error is None


async def test_status_reports_a_failing_blob_store_and_what_waits():
    """State says which failure, how much and since when; when the store is back, all is well."""
    store = MemoryBlobStore(error=ProviderRefused("scripted", "asked to fail"))
    uploader = quick(MemorySessionLog(), store)

    async with uploader.running():
        await record(uploader, noise(2.5))
        await anyio.sleep(0.05)
        state = uploader.status()
        store.error = None
        await wait_until_uploaded(uploader.session_log)

    assert (state.error, state.waiting, state.full) == ("provider_refused", 1, False)
    assert state.bytes > 80_000
    assert state.oldest_s >= 0
    assert (uploader.status().error, uploader.status().waiting, uploader.status().bytes) == (None, 0, 0)


async def test_restart_uploads_what_is_left_in_the_session_log():
    """The store was dead until the end of the process; the next process stores everything."""
    session_log, pcm = MemorySessionLog(), noise(2.5)
    dead = MemoryBlobStore(error=ProviderDown("scripted", "asked to fail"))
    async with (first := quick(session_log, dead)).running():
        await record(first, pcm)
    assert dead.blobs == {}

    store = MemoryBlobStore()
    async with quick(session_log, store).running():
        pass

    assert (await assert_whole(store, pcm)).ended
    assert session_log.records == {}


async def test_crash_recovery_marks_the_session_recovered():
    """What the recorder left in mid-session is stored, and marked."""
    session_log, pcm = MemorySessionLog(), noise(2.5)
    crashed = quick(session_log, MemoryBlobStore())
    await record(crashed, pcm)
    session_log.records["one"]["journal"] = [r for r in session_log.records["one"]["journal"] if b'"ended"' not in r]

    store = MemoryBlobStore()
    async with quick(session_log, store).running():
        pass

    manifest = await assert_whole(store, pcm)
    assert (manifest.ended, manifest.recovered, manifest.is_live) == (None, True, False)


async def test_corrupted_record_becomes_silence_in_its_place():
    """A lost record moves nothing; the manifest says which samples are not the speaker's."""
    session_log, pcm = MemorySessionLog(), noise(2)
    await record(quick(session_log, MemoryBlobStore(), chunk_ms=2000), pcm)
    records = session_log.records["one"]["audio-000000000000"]
    while len(records) < 3:
        start, body = int.from_bytes(records[-1][:8], "little"), records[-1][8:]
        cut = len(body) // 4 * 2
        records[-1:] = [start.to_bytes(8, "little") + body[:cut], (start + cut // 2).to_bytes(8, "little") + body[cut:]]
    first, last = (int.from_bytes(records[n][:8], "little") for n in (1, 2))
    del records[1]

    store = MemoryBlobStore()
    async with quick(session_log, store).running():
        pass

    manifest = await manifest_of(store)
    (chunk,) = manifest.chunks
    assert chunk.lost == ((first, last),)
    stored = decode_exactly(store.blobs[chunk.key], manifest.samples)
    assert stored == pcm[: 2 * first] + bytes(2 * (last - first)) + pcm[2 * last :]


async def test_disk_full_for_a_while_makes_the_client_wait():
    """Nothing is acknowledged meanwhile, and nothing is lost when there is room again."""
    session_log, store, pcm = MemorySessionLog(), MemoryBlobStore(), noise(12)
    uploader, acknowledged = quick(session_log, store, disk_timeout_s=5.0), []
    session_log.error = ProviderBusy("spool", "asked to be full")

    async with uploader.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(record, uploader, pcm, "one", acknowledged.append)
        await anyio.sleep(0.05)
        assert acknowledged == []
        session_log.error = None

    assert acknowledged[-1] == len(pcm) // 2
    await assert_whole(store, pcm)


async def test_disk_that_stays_full_ends_the_session_with_an_error():
    """What was acknowledged before is stored; the rest was never promised."""
    session_log, store, pcm = MemorySessionLog(), MemoryBlobStore(), noise(12)
    uploader, acknowledged = quick(session_log, store), []

    def acknowledge(samples: int) -> None:
        acknowledged.append(samples)
        if samples >= 32_000:
            session_log.error = ProviderBusy("spool", "asked to be full")

    with pytest.raises(BaseExceptionGroup) as caught:
        await record(uploader, pcm, "one", acknowledge)
    session_log.error = None
    async with quick(session_log, store).running():
        pass

    assert caught.group_contains(ProviderBusy)
    manifest = await assert_whole(store, pcm[: 2 * acknowledged[-1]])
    assert manifest.recovered


async def test_disk_full_loses_no_acknowledged_audio(small_disk):
    """On a megabyte of disk and a dead store: the session ends, and every acknowledged sample is there later."""
    acknowledged, pcm, store = [], noise(60), MemoryBlobStore()
    async with open_session_log(folder=small_disk) as session_log:
        with pytest.raises(BaseExceptionGroup) as caught:
            await record(quick(session_log, store), pcm, "one", acknowledged.append)
    async with open_session_log(folder=small_disk) as session_log, quick(session_log, store).running():
        await wait_until_uploaded(session_log)

    assert caught.group_contains(ProviderBusy)
    assert acknowledged[-1] > 200_000
    await assert_whole(store, pcm[: 2 * acknowledged[-1]])


async def test_full_session_log_refuses_new_sessions(tmp_path):
    """The limit is for those who come; who is inside goes on."""
    async with open_session_log(folder=tmp_path, limit=50_000) as session_log:
        uploader = quick(session_log, MemoryBlobStore(error=ProviderDown("scripted", "asked to fail")))
        assert uploader.has_space
        await record(uploader, noise(3))

        assert not uploader.has_space
        assert uploader.status().full


async def test_undecodable_journal_does_not_stop_other_uploads():
    """It stays on the disk, is counted, and is tried again at the next start."""
    session_log, store = MemorySessionLog(), MemoryBlobStore()
    session_log.records["broken"] = {"journal": [b"this is no journal"]}
    uploader = quick(session_log, store)

    async with uploader.running():
        await record(uploader, noise(1.5))
        await uploader.wait_until_idle()

    await assert_whole(store, noise(1.5))
    assert list(session_log.records) == ["broken"]
    assert uploader.status().waiting == 1


async def test_clock_that_jumps_back_is_harmless():
    """Wall clock is written down and not counted with."""
    moments = itertools.cycle([NOON, NOON - timedelta(days=400)])
    store, pcm = ScriptedBlobStore(ProviderDown("scripted", "asked to fail")), noise(3)
    uploader = quick(MemorySessionLog(), store, now=lambda: next(moments))

    async with uploader.running():
        await record(uploader, pcm)
        await wait_until_uploaded(uploader.session_log)

    manifest = await assert_whole(store, pcm)
    assert manifest.ended < manifest.started


async def test_replies_are_recorded_with_text_and_audio():
    """Its words and its sound; one that was broken off has what was sent of both."""
    store = MemoryBlobStore()
    uploader = quick(MemorySessionLog(), store)
    voice = [noise(0.5, seed) for seed in (1, 2, 3)]

    async with uploader.running(), uploader.record_session("one") as recorder:
        await recorder.write_audio(AudioChunk(noise(1), 0))
        recorder.record(do.ShowReplyStart(1, "hi"), None)
        recorder.record(do.PlayAudio(1, AudioChunk(voice[0], 0)), None)
        await anyio.sleep(0.01)
        recorder.record(do.PlayAudio(1, AudioChunk(voice[1], 8000)), None)
        recorder.record(do.ShowReply(1, "Hello there."), None)
        recorder.record(do.ShowReplyStart(2, "and"), None)
        recorder.record(do.ShowReplyDelta(2, "Well, "), None)
        recorder.record(do.PlayAudio(2, AudioChunk(voice[2], 0)), None)
        recorder.record(do.ShowReplyCancelled(2, "barge_in"), None)

    whole, broken = (await manifest_of(store)).replies
    assert (whole.turn, whole.text, whole.cancelled, whole.samples) == (1, "Hello there.", None, 16_000)
    assert (broken.turn, broken.text, broken.cancelled, broken.samples) == (2, "Well,", "barge_in", 8_000)
    assert decode_exactly(store.blobs[whole.key], 16_000) == voice[0] + voice[1]
    assert decode_exactly(store.blobs[broken.key], 8_000) == voice[2]


async def test_reply_under_way_at_session_end_is_in_the_manifest():
    """With its text and its audio as far as they were sent: no blob of audio that no manifest names."""
    store = MemoryBlobStore()
    uploader = quick(MemorySessionLog(), store)

    async with uploader.running(), uploader.record_session("one") as recorder:
        await recorder.write_audio(AudioChunk(noise(1), 0))
        recorder.record(do.ShowReplyStart(1, "hi"), None)
        recorder.record(do.ShowReplyDelta(1, "Well, "), None)
        recorder.record(do.PlayAudio(1, AudioChunk(noise(0.5), 0)), None)

    (reply,) = (await manifest_of(store)).replies
    assert (reply.turn, reply.text, reply.cancelled, reply.samples) == (1, "Well,", "session_ended", 8_000)
    assert [key for key in store.blobs if "/replies/" in key] == [reply.key]


async def test_reply_under_way_in_a_crash_is_in_the_recovered_manifest():
    """Its text was in memory alone; its audio is kept, and named."""
    session_log, store = MemorySessionLog(), MemoryBlobStore()
    async with quick(session_log, MemoryBlobStore()).record_session("one") as recorder:
        await recorder.write_audio(AudioChunk(noise(1), 0))
        recorder.record(do.ShowReplyStart(1, "hi"), None)
        recorder.record(do.PlayAudio(1, AudioChunk(noise(0.5), 0)), None)
    session_log.records["one"]["journal"] = session_log.records["one"]["journal"][:1]

    async with quick(session_log, store).running():
        pass

    (reply,) = (await manifest_of(store)).replies
    assert (reply.text, reply.cancelled, reply.samples) == ("", "unfinished", 8_000)
    assert [key for key in store.blobs if "/replies/" in key] == [reply.key]


class CountingSessionLog(MemorySessionLog):
    """Counts the bytes of the records that were read."""

    bytes_read = 0

    async def read_from(self, session: str, log: str, offset: int) -> tuple[list[bytes], int]:
        records, end = await super().read_from(session, log, offset)
        self.bytes_read += sum(map(len, records))
        return records, end


@pytest.mark.parametrize("chunks", [10, 80])
async def test_upload_of_a_long_session_reads_each_record_once(chunks):
    """However many chunks: what the uploader reads is what was written, not that much again for each chunk."""
    session_log, store = CountingSessionLog(), MemoryBlobStore()
    uploader = quick(session_log, store, chunk_ms=PIECE_MS)
    written = 0

    async with uploader.running(), uploader.record_session("one") as recorder:
        for number in range(chunks):
            piece = noise(PIECE_MS / 1000, number)
            await recorder.write_audio(AudioChunk(piece, number * ms(PIECE_MS)))
            end = (number + 1) * ms(PIECE_MS)
            shown = do.ShowFinal(1, number, Hypothesis("word " * 20, is_final=True), end - 800, end - 100, end)
            recorder.record(shown, None)
            written += len(piece) + 500
            await uploader.wait_until_idle()
            await anyio.sleep(0.001)

    assert (await manifest_of(store)).samples == chunks * ms(PIECE_MS)
    assert len(store.blobs) == chunks + 2
    assert session_log.bytes_read <= written


async def test_session_log_under_another_encryption_key_is_no_failure_of_the_store(tmp_path):
    """It stays on the disk for a start with its own key; the store's other sessions are uploaded."""
    store = MemoryBlobStore()
    async with open_session_log(folder=tmp_path, cipher=AesCipher(bytes(32))) as session_log:
        await record(quick(session_log, store), noise(0.5), "old")
    async with open_session_log(folder=tmp_path, cipher=AesCipher(b"1" * 32)) as session_log:
        uploader = quick(session_log, store)
        async with uploader.running():
            await record(uploader, noise(0.5), "new")
            await uploader.wait_until_idle()
            status = uploader.status()
        left = [session for session, _ in await session_log.sessions()]

    assert (status.error, status.waiting, left) == (None, 1, ["old"])
    await assert_whole(store, noise(0.5), "new")


async def test_retention_continues_after_a_recording_that_cannot_be_deleted(indexed):
    """It stays, and is tried again an hour later."""

    class StubbornStore(MemoryBlobStore):
        async def delete(self, key: str) -> None:
            if "/old0" in key:
                raise ProviderRefused("stubborn", "asked to fail")
            await super().delete(key)

    store = StubbornStore()
    for number in range(3):
        past = quick(MemorySessionLog(), store, now=lambda: NOON - timedelta(days=40), **indexed)
        async with past.running():
            await record(past, noise(0.2), f"old{number}")

    deleted = await quick(MemorySessionLog(), store, keep_days=30, **indexed).retention.delete_expired()

    assert deleted == 2
    assert {key.split("/")[2] for key in store.recorded} == {"old0"}


async def test_opus_keeps_positions_exact():
    """A tenth of the size, and a sound is where it was."""
    click = bytes(2 * 20_000) + noise(0.05) + bytes(2 * 60_000)
    store = MemoryBlobStore()
    uploader = quick(MemorySessionLog(), store, audio="opus", chunk_ms=10_000)

    async with uploader.running():
        await record(uploader, click)

    manifest = await manifest_of(store)
    (chunk,) = manifest.chunks
    heard = decode_exactly(store.blobs[chunk.key], chunk.end)
    loud = [abs(int.from_bytes(heard[n : n + 2], "little", signed=True)) > 4000 for n in range(0, len(heard), 2)]
    assert loud.index(True) == pytest.approx(20_000, abs=160)
    assert len(heard) == len(click)


async def test_encrypted_blobs_are_unreadable_without_the_key():
    """Neither words nor sound can be read in the store; the library reads both."""
    inner, pcm = MemoryBlobStore(), noise(1.5)
    uploader = quick(MemorySessionLog(), EncryptedBlobStore(inner, AesCipher(bytes(32))))
    async with uploader.running():
        await record(uploader, pcm)

    assert all(b"fLaC" not in blob and b"one" not in blob for blob in inner.blobs.values())
    await assert_whole(uploader.store, pcm)
    with pytest.raises(ProviderRefused):
        await EncryptedBlobStore(inner, AesCipher(bytes(31) + b"1")).get(next(iter(inner.blobs)))
    moved = dict(inner.blobs)
    one, other = sorted(key for key in moved if key.endswith(".flac"))
    inner.blobs[one] = moved[other]
    with pytest.raises(ProviderRefused):
        await uploader.store.get(one)


async def test_retention_deletes_expired_recordings_only(indexed):
    """By the day a session began."""
    store = MemoryBlobStore()
    for days in (0, 29, 30, 31, 400):
        past = quick(MemorySessionLog(), store, now=lambda days=days: NOON - timedelta(days=days), **indexed)
        async with past.running():
            await record(past, noise(0.2), f"old{days}")

    uploader = quick(MemorySessionLog(), store, keep_days=30, **indexed)
    gone = await uploader.retention.delete_expired()

    assert gone == 2
    left = {key.split("/")[2] for key in store.recorded}
    assert left == {"old0", "old29", "old30"}


@pytest.mark.parametrize("everyones", [0, 30])
async def test_retention_follows_each_tenants_keep_days(tmp_path, everyones, indexed):
    """On a real store: its own days where it has some, everyone's otherwise; 0 keeps all. No manifest is read."""
    ages = (1, 6, 8, 29, 31, 400)
    tenants = {"acme": 7, "globex": 0, "initech": None, "default": None}
    async with open_filesystem(folder=tmp_path / "store") as store:
        for days in ages:
            past = quick(MemorySessionLog(), store, now=lambda days=days: NOON - timedelta(days=days), **indexed)
            async with past.running():
                for name in tenants:
                    async with past.record_session(f"{name}{days}", Tenant(name)) as recorder:
                        await recorder.write_audio(AudioChunk(noise(0.1), 0))
        own = {name: days for name, days in tenants.items() if days is not None}
        uploader = quick(MemorySessionLog(), store, keep_days=everyones, tenant_keep_days=lambda: own, **indexed)
        store_read = store.get
        store.get = None
        gone = await uploader.retention.delete_expired()
        store.get = store_read

        left = {name: [d.session async for d in uploader.recordings.list_refs(tenant=name)] for name in tenants}
        kept = {name: own.get(name, everyones) for name in tenants}
        for name, days in kept.items():
            assert set(left[name]) == {f"{name}{age}" for age in ages if not days or age <= days}, name
        assert gone == len(ages) * len(tenants) - sum(map(len, left.values()))
        blobs = [key async for key in store.keys("sessions/")]
        assert {key.split("/")[2] for key in blobs} == {session for sessions in left.values() for session in sessions}


async def test_crash_recovery_keeps_the_tenant():
    """What the spool says of it is enough for the next process."""
    store, session_log = MemoryBlobStore(), MemorySessionLog()
    dying = quick(session_log, MemoryBlobStore())
    async with dying.record_session("one", Tenant("acme")) as recorder:
        await recorder.write_audio(AudioChunk(noise(0.3), 0))
    assert await dying.owner("one") == "acme"

    survivor = quick(session_log, store)
    async with survivor.running():
        await wait_until_uploaded(session_log)

    assert (await manifest_of(store)).tenant == "acme"
    assert [found.tenant async for found in survivor.recordings.list_refs()] == ["acme"]
    assert await survivor.owner("one") == "acme"
    assert await survivor.delete("one", "acme")
    assert store.recorded == {}


async def test_recording_without_a_tenant_belongs_to_the_default_tenant():
    """Neither its manifest nor its journal says whose it is."""
    store, session_log = MemoryBlobStore(), MemorySessionLog()
    await record(quick(session_log, store), noise(0.3))
    logs = session_log.records["one"]
    logs["journal"] = [line.replace(b',"tenant":"default"', b"") for line in logs["journal"]]
    uploader = quick(session_log, store)
    async with uploader.running():
        await wait_until_uploaded(session_log)
    (key,) = [key for key in store.blobs if key.endswith("manifest.json")]
    store.blobs[key] = msgspec.json.encode(
        {name: value for name, value in msgspec.json.decode(store.blobs[key]).items() if name != "tenant"}
    )

    assert await uploader.owner("one") == "default"
    assert [found.tenant async for found in uploader.recordings.list_refs()] == ["default"]


async def test_delete_removes_blobs_and_session_log():
    """Not in the store, and not on the disk."""
    store, session_log = MemoryBlobStore(), MemorySessionLog()
    uploader = quick(session_log, store)
    async with uploader.running():
        await record(uploader, noise(1.5))
        await record(uploader, noise(0.5), "other")
    dead = quick(session_log, MemoryBlobStore(error=ProviderDown("scripted", "asked to fail")))
    await record(dead, noise(0.5), "spooled")

    assert await uploader.delete("one", "default")
    assert await uploader.delete("spooled", "default")
    assert not await uploader.delete("never", "default")

    assert {key.split("/")[2] for key in store.recorded} == {"other"}
    assert session_log.records == {}
    with pytest.raises(BlobNotFound):
        await uploader.recordings.manifest("one")


def test_session_id_contains_its_day():
    """The ids sort by time, none comes twice, and a foreign id has no day."""
    ids = [new_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert date_of(ids[0]) in {(datetime.now(UTC) - timedelta(minutes=m)).date().isoformat() for m in (0, 1)}
    assert [date_of(other) for other in ("one", "f" * 32, "x" * 12 + "7" + "0" * 19)] == [None, None, None]


@pytest.mark.slow
async def test_memory_stays_flat_while_the_blob_store_is_down(tmp_path):
    """115 MB of audio go to the disk and not into memory."""
    piece = noise(1)
    async with open_session_log(folder=tmp_path, fsync="never") as session_log:
        store = MemoryBlobStore(error=ProviderDown("scripted", "asked to fail"))
        uploader = quick(session_log, store, chunk_ms=10_000, first_pause_s=0.01, longest_pause_s=0.05)
        async with uploader.running(), uploader.record_session("one") as recorder:
            for second in range(3600):
                await recorder.write_audio(AudioChunk(piece, second * 16_000))
                if second == 600:
                    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        assert session_log.size_bytes > 3590 * 32_000
        assert after - before < 8_000  # kilobytes
