"""Re-encryption and checks of an archive: what changes meanwhile, failures of the store, kills, the command."""

import base64
import fcntl
import os
import random
import signal
import sys
from datetime import UTC, datetime

import anyio
import pytest
from click.testing import CliRunner

from app.cli import parley
from app.domain.audio import AudioChunk
from app.domain.errors import ProviderBusy, ProviderDown, ProviderRefused, SettingsError
from app.runtime.recording.archive_check import ArchiveCheck
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.rekey import rekey_blobs
from app.runtime.recording.uploader import Uploader
from storage.aes import AesCipher, key_id
from storage.encrypted import EncryptedBlobStore
from storage.filesystem import FilesystemBlobStore
from storage.key_check import KEY_CHECKS, CheckedBlobStore
from storage.session_log import open_session_log
from tests.fakes import SPEECH, MemoryBlobStore, MemorySessionLog
from tests.source import ROOT

pytestmark = pytest.mark.anyio

OLD, ACTIVE = bytes(32), b"1" * 32
OCTETS = "application/octet-stream"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


async def started(inner, *keys: bytes) -> EncryptedBlobStore:
    store = EncryptedBlobStore(inner, AesCipher(*keys), now=lambda: NOON)
    await store.check_keys()
    return store


async def archived(store, *sessions: str) -> None:
    """Recordings of half a second."""
    uploader = Uploader(MemorySessionLog(), store, now=lambda: NOON, write_interval_s=0.001)
    async with uploader.running():
        for session in sessions:
            async with uploader.record_session(session) as recorder:
                await recorder.write_audio(AudioChunk(SPEECH * 16, 0))
        await uploader.wait_until_idle()


def chunk_of(session: str) -> str:
    return f"sessions/2026-11-26/{session}/000000000000.flac"


def manifest_of(session: str) -> str:
    return f"sessions/2026-11-26/{session}/manifest.json"


# -- What changes meanwhile -------------------------------------------------------------------------


class ChangingStore(MemoryBlobStore):
    """Another process does something, once, before the nth get of a key."""

    def __init__(self, key: str, gets: int, change) -> None:
        super().__init__()
        self._key, self._gets, self._change = key, gets, change

    async def get(self, key: str) -> bytes:
        if key == self._key:
            self._gets -= 1
            if self._gets == 0:
                await self._change()
        return await super().get(key)


async def test_rekey_keeps_what_another_process_has_written_meanwhile():
    """A manifest that is rewritten between reading and replacing."""

    async def rewrite() -> None:
        await (await started(inner, ACTIVE, OLD)).put("sessions/2026-11-26/one/x", b"new", content_type=OCTETS)

    inner = ChangingStore("sessions/2026-11-26/one/x", 2, rewrite)
    await (await started(inner, OLD)).put("sessions/2026-11-26/one/x", b"old", content_type=OCTETS)

    report = await rekey_blobs(await started(inner, ACTIVE, OLD))

    assert (report.replaced, report.current, report.failed) == (0, 1, {})
    assert await (await started(inner, ACTIVE)).get("sessions/2026-11-26/one/x") == b"new"


class DeletingStore(MemoryBlobStore):
    """Another process deletes a recording while one of its blobs is being replaced."""

    victim = ""

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        if self.victim and key == chunk_of(self.victim):
            victim, self.victim = self.victim, ""
            await RecordingStore(await started(self, ACTIVE, OLD)).tombstones.write(victim, NOON)
            for each in [each for each in self.blobs if victim in each and not each.startswith("tombstones/")]:
                del self.blobs[each]
        await super().put(key, data, content_type=content_type)


async def test_recording_that_is_deleted_during_a_rekey_stays_deleted():
    """The blob that was just being replaced does not come back; the others are there."""
    inner = DeletingStore()
    await archived(await started(inner, OLD), "one", "two")
    store = await started(inner, ACTIVE, OLD)
    inner.victim = "one"

    report = await rekey_blobs(store)

    assert report.failed == {}
    assert [key for key in inner.blobs if "one" in key and not key.startswith("tombstones/")] == []
    assert (await ArchiveCheck(await started(inner, ACTIVE)).run()).recordings == 1


# -- Failures of the store --------------------------------------------------------------------------


class ShakyStore(MemoryBlobStore):
    """Fails one put in three, half of these after the write."""

    luck = random.Random(7)
    shaky = False

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        luck = self.luck.random() if self.shaky else 1.0
        if luck < 1 / 6:
            raise ProviderDown("shaky", "asked to fail")
        await super().put(key, data, content_type=content_type)
        if luck < 1 / 3:
            raise ProviderBusy("shaky", "asked to fail behind the write")


async def test_rekey_tries_again_where_the_store_fails():
    """Every blob is re-encrypted in the end."""
    inner = ShakyStore()
    await archived(await started(inner, OLD), *(f"s{number}" for number in range(10)))
    store = await started(inner, ACTIVE, OLD)
    inner.shaky = True

    report = await rekey_blobs(store, retry_after_s=[0.0] * 50)

    inner.shaky = False
    assert report.failed == {}
    assert (await ArchiveCheck(await started(inner, ACTIVE)).run()).recordings == 10


async def test_rekey_ends_with_the_error_of_a_store_that_stays_down():
    """The error itself, and no key check is removed."""
    inner = MemoryBlobStore()
    await archived(await started(inner, OLD), "one")
    store = await started(inner, ACTIVE, OLD)
    inner.error = ProviderDown("memory", "asked to fail")

    with pytest.raises(ProviderDown):
        await rekey_blobs(store, retry_after_s=[0.0])

    assert {key for key in inner.blobs if key.startswith(KEY_CHECKS)} == {
        KEY_CHECKS + key_id(OLD),
        KEY_CHECKS + key_id(ACTIVE),
    }


@pytest.mark.parametrize("key", [OLD, None])
async def test_keys_are_checked_before_the_first_use_of_a_store_that_was_down_at_the_start(key):
    """Nothing is written with the wrong key; with the right one everything works."""
    inner = MemoryBlobStore()
    await started(inner, ACTIVE)
    down = True

    async def check() -> None:
        if down:
            raise ProviderDown("memory", "asked to fail")
        await encrypted.check_keys()

    encrypted = EncryptedBlobStore(inner, AesCipher(key or ACTIVE))
    store = CheckedBlobStore(encrypted, check)
    before = dict(inner.blobs)

    with pytest.raises(ProviderDown):
        await store.put("one", b"1", content_type=OCTETS)
    down = False
    if key:
        for use in (store.put("one", b"1", content_type=OCTETS), store.get("one")):
            with pytest.raises(ProviderRefused, match="PARLEY_ARCHIVE_OLD_KEYS"):
                await use
        assert inner.blobs == before
    else:
        await store.put("one", b"1", content_type=OCTETS)
        assert await store.get("one") == b"1"


# -- Checks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_check_of_a_whole_archive_has_no_problems(is_encrypted):
    """It counts recordings and blobs, encrypted or not, and writes nothing."""
    inner = MemoryBlobStore()
    store = await started(inner, OLD) if is_encrypted else inner
    await archived(store, "one", "two")
    before = dict(inner.blobs)

    report = await ArchiveCheck(store).run()

    assert (report.recordings, report.blobs, report.problems) == (2, 6, {})
    assert inner.blobs == before


async def test_check_names_what_is_missing_damaged_or_of_another_recording():
    """By its key."""
    store = MemoryBlobStore()
    await archived(store, "one", "two", "three", "four", "five")
    del store.blobs[chunk_of("one")]
    store.blobs[chunk_of("two")] += b"x"
    store.blobs[manifest_of("three")] = store.blobs[manifest_of("three")].replace(b"/three/", b"/four/")
    store.blobs[manifest_of("five")] = b"{"

    report = await ArchiveCheck(store).run()

    assert {key: problem.split(":")[0] for key, problem in report.problems.items()} == {
        chunk_of("one"): "is missing, and the manifest names it",
        chunk_of("two"): "differs from its SHA-256 in the manifest",
        manifest_of("three"): "names blobs of another recording",
        manifest_of("five"): "is no manifest",
    }


async def test_check_names_every_blob_that_does_not_decrypt():
    """Altered, moved or replaced by a plain one."""
    inner = MemoryBlobStore()
    store = await started(inner, OLD)
    await archived(store, "one", "two", "three")
    inner.blobs[chunk_of("one")] = inner.blobs[chunk_of("two")]
    inner.blobs[manifest_of("three")] = b"{}"

    report = await ArchiveCheck(store).run()

    assert set(report.problems) == {chunk_of("one"), manifest_of("three")}


# -- Kills ------------------------------------------------------------------------------------------

REKEY = """
import signal, sys
from pathlib import Path
import anyio
from app.runtime.recording.rekey import rekey_blobs, rekey_spool
from storage.aes import AesCipher
from storage.encrypted import EncryptedBlobStore
from storage.filesystem import open_filesystem
from storage.session_log import open_session_log

async def run(folder, killed_after_s):
    keys = AesCipher(b"1" * 32, bytes(32))
    async with open_filesystem(folder=folder) as inner, open_session_log(folder=folder / ".spool", cipher=keys) as log:
        signal.setitimer(signal.ITIMER_REAL, killed_after_s)  # nothing handles this signal, so it kills
        store = EncryptedBlobStore(inner, keys)
        await store.check_keys()
        await rekey_spool(log)
        await rekey_blobs(store)
        signal.setitimer(signal.ITIMER_REAL, 0)

anyio.run(run, Path(sys.argv[1]), float(sys.argv[2]))
"""


async def test_rekey_that_is_killed_at_any_moment_is_repeated(tmp_path):
    """After each kill everything decrypts with both keys, and the run that ends needs the active key alone."""
    inner = FilesystemBlobStore(tmp_path)
    store = await started(inner, OLD)
    blobs = {f"sessions/2026-11-26/s{number}/x": bytes([number]) * 50_000 for number in range(60)}
    for key, blob in blobs.items():
        await store.put(key, blob, content_type=OCTETS)
    logs = {f"s{number}": [b"record %d" % number] * 20 for number in range(20)}
    async with open_session_log(folder=tmp_path / ".spool", fsync="never", cipher=AesCipher(OLD)) as session_log:
        for session, records in logs.items():
            await session_log.append(session, "journal", records)
    statuses, killed_after_s = [], 0.004

    while 0 not in statuses:
        rekey = [sys.executable, "-c", REKEY, str(tmp_path), str(killed_after_s)]
        statuses.append((await anyio.run_process(rekey, cwd=ROOT, check=False)).returncode)
        killed_after_s *= 3  # so that some run ends
        await assert_opens(tmp_path, AesCipher(ACTIVE, OLD), blobs, logs)

    assert set(statuses[:-1]) == {-signal.SIGALRM}
    await assert_opens(tmp_path, AesCipher(ACTIVE), blobs, logs)


async def assert_opens(folder, cipher: AesCipher, blobs: dict[str, bytes], logs: dict[str, list[bytes]]) -> None:
    """Every blob and every log of a killed or finished run decrypts with these keys."""
    store = EncryptedBlobStore(FilesystemBlobStore(folder), cipher)
    await store.check_keys()
    assert {key: await store.get(key) for key in blobs} == blobs
    async with open_session_log(folder=folder / ".spool", cipher=cipher) as session_log:
        assert {session: await session_log.read(session, "journal") for session in logs} == logs


# -- The command ------------------------------------------------------------------------------------


@pytest.fixture
def run_archive(tmp_path, monkeypatch):
    """Runs `parley archive` over the folder `tmp_path` with these keys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLEY_AUDIO_STORAGE_DIR", str(tmp_path))

    def run(*words: str, keys: tuple[bytes, ...] = ()):
        (tmp_path / "keys").write_text("\n".join(base64.b64encode(key).decode() for key in keys))
        monkeypatch.setenv("PARLEY_ARCHIVE_KEY_FILE", str(tmp_path / "keys") if keys else "")
        return CliRunner().invoke(parley, ["archive", *words])

    return run


def test_archive_command_replaces_a_key(tmp_path, run_archive):
    """A dry run counts, a run re-encrypts, a check finds nothing wrong, and the old key is not needed any more."""
    anyio.run(record_into, tmp_path)

    dry = run_archive("rekey", "--dry-run", keys=(ACTIVE, OLD))
    done = run_archive("rekey", keys=(ACTIVE, OLD))
    checked = run_archive("check", keys=(ACTIVE,))

    assert (dry.exit_code, done.exit_code, checked.exit_code) == (0, 0, 0)
    assert "blobs: 3 to re-encrypt, 0 current" in dry.stdout
    assert "logs in the spool: 1 to re-encrypt, 0 current" in dry.stdout
    assert "blobs: 3 re-encrypted, 0 current" in done.stdout
    assert "logs in the spool: 1 re-encrypted, 0 current" in done.stdout
    assert "1 recordings, 3 blobs; 1 logs in the spool" in checked.stdout


async def record_into(folder) -> None:
    """A recording under the old key, and a log that waits in the spool."""
    await archived(await started(FilesystemBlobStore(folder), OLD), "one")
    async with open_session_log(folder=folder / ".spool", cipher=AesCipher(OLD)) as session_log:
        await session_log.append("two", "journal", [b"waits"])


def test_archive_check_fails_where_a_blob_was_altered(tmp_path, run_archive):
    """With status 1 and the name of the blob."""
    anyio.run(record_into, tmp_path)
    (tmp_path / chunk_of("one")).write_bytes(b"PLYk" + bytes(100))

    result = run_archive("check", keys=(OLD,))

    assert result.exit_code == 1
    assert chunk_of("one") in result.stdout


@pytest.mark.parametrize("words", [["check"], ["rekey"]])
def test_archive_command_with_the_wrong_key_says_which_is_missing(tmp_path, run_archive, words):
    """And changes nothing."""
    anyio.run(record_into, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    result = run_archive(*words, keys=(ACTIVE,))

    assert isinstance(result.exception, SettingsError)
    assert key_id(OLD) in str(result.exception)
    assert before.items() <= {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}.items()


def test_archive_rekey_without_a_key_is_refused(run_archive):
    """There is nothing to encrypt with."""
    assert isinstance(run_archive("rekey").exception, SettingsError)


def test_archive_command_leaves_the_spool_to_a_running_server(tmp_path, run_archive):
    """It says so, and does the rest."""
    anyio.run(record_into, tmp_path)
    lock = os.open(tmp_path / ".spool/.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        result = run_archive("rekey", keys=(ACTIVE, OLD))
    finally:
        os.close(lock)

    assert result.exit_code == 0
    assert "The spool is left out" in result.stderr
    assert "blobs: 3 re-encrypted" in result.stdout
