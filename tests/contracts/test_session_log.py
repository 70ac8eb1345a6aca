"""Contract of the session log (spool): records survive crashes, torn writes, corruption and a full disk."""

import threading
import zlib
from contextlib import AbstractAsyncContextManager

import pytest
from structlog.testing import capture_logs

from app.domain.errors import BlobUnreadable, ProviderBusy, ProviderRefused, SettingsError
from storage.aes import AesCipher, cipher_from_keys
from storage.session_log import FULL_FOR_S, DiskSessionLog, open_session_log
from tests.earlier_formats import record_without_key_id

pytestmark = pytest.mark.anyio
CIPHER = AesCipher(bytes(range(32)))


@pytest.fixture(params=["plain", "encrypted"])
def cipher(request):
    return CIPHER if request.param == "encrypted" else None


def opened(folder, cipher=None, **options) -> AbstractAsyncContextManager[DiskSessionLog]:
    return open_session_log(folder=folder, cipher=cipher, **options)


async def test_session_log_records_come_back_in_order(tmp_path, cipher):
    """From this process and from the next one."""
    async with opened(tmp_path, cipher) as session_log:
        await session_log.append("one", "journal", [b"first", b""])
        await session_log.append("one", "journal", [b"third" * 1000])
        assert await session_log.read("one", "journal") == [b"first", b"", b"third" * 1000]
    async with opened(tmp_path, cipher) as session_log:
        assert await session_log.read("one", "journal") == [b"first", b"", b"third" * 1000]
        assert await session_log.log_names("one") == ["journal"]
        assert [session for session, _ in await session_log.sessions()] == ["one"]


async def test_missing_log_is_empty(tmp_path):
    """No log and no session is no error."""
    async with opened(tmp_path) as session_log:
        assert await session_log.read("none", "journal") == []
        assert await session_log.log_names("none") == []
        await session_log.remove_log("none", "journal")
        await session_log.remove_session("none")


async def test_torn_tail_is_skipped_and_truncated(tmp_path, cipher):
    """At every byte a crash may cut: the whole records are there, and the next one goes behind them."""
    async with opened(tmp_path, cipher) as session_log:
        await session_log.append("one", "log", [b"first", b"second"])
    whole = (tmp_path / "one/log").read_bytes()
    second = len(whole) // 2 if cipher is None else whole.index(b"PLYk", 4)
    second = whole.index(b"PLYr", 4) if cipher is None else second
    for cut in range(second + 1, len(whole)):
        (tmp_path / "one/log").write_bytes(whole[:cut])
        async with opened(tmp_path, cipher) as session_log:
            assert await session_log.read("one", "log") == [b"first"]
            await session_log.append("one", "log", [b"again"])
            assert await session_log.read("one", "log") == [b"first", b"again"]


async def test_corruption_in_the_middle_loses_only_that_record(tmp_path):
    """What lies behind it is still read."""
    async with opened(tmp_path) as session_log:
        await session_log.append("one", "log", [b"first", b"second", b"third"])
    blob = bytearray((tmp_path / "one/log").read_bytes())
    blob[blob.index(b"second")] ^= 1
    (tmp_path / "one/log").write_bytes(blob)

    async with opened(tmp_path) as session_log:
        assert await session_log.read("one", "log") == [b"first", b"third"]


async def test_size_bytes_matches_the_files(tmp_path):
    """Counted while it grows and shrinks, and again at the next start."""

    def there() -> int:
        return sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())

    async with opened(tmp_path, limit=1000) as session_log:
        assert (session_log.size_bytes, session_log.has_space) == (0, True)
        await session_log.append("one", "a", [bytes(600)])
        await session_log.append("two", "a", [bytes(600)])
        await session_log.append("two", "b", [bytes(10)])
        assert (session_log.size_bytes, session_log.has_space) == (there(), False)
        await session_log.remove_log("two", "b")
        await session_log.remove_session("one")
        assert (session_log.size_bytes, session_log.has_space) == (there(), True)
    async with opened(tmp_path) as again:
        assert again.size_bytes == there()


async def test_session_log_folder_is_locked_by_one_process(tmp_path):
    """The second one is told why, and the first one's end makes room."""
    async with opened(tmp_path):
        with pytest.raises(ProviderRefused, match="PARLEY_SPOOL_DIR"):
            async with opened(tmp_path):
                pass
    async with opened(tmp_path):
        pass


async def test_encrypted_log_is_unreadable_without_the_key(tmp_path):
    """No words on the disk; without the key, or with another one, it says so instead of losing anything."""
    async with opened(tmp_path, CIPHER) as session_log:
        await session_log.append("one", "journal", [b"a secret"])

    assert b"secret" not in (tmp_path / "one/journal").read_bytes()
    for cipher, words in ((None, "PARLEY_ARCHIVE_KEY is not set"), (AesCipher(bytes(32)), "does not open")):
        async with opened(tmp_path, cipher) as session_log:
            with pytest.raises(ProviderRefused, match=words):
                await session_log.read("one", "journal")
    async with opened(tmp_path, CIPHER) as session_log:
        assert await session_log.read("one", "journal") == [b"a secret"]


async def test_unencrypted_log_is_readable_after_a_key_is_set(tmp_path):
    """A key may be set at any time."""
    async with opened(tmp_path) as session_log:
        await session_log.append("one", "journal", [b"open"])
    async with opened(tmp_path, CIPHER) as session_log:
        await session_log.append("one", "journal", [b"closed"])
        assert await session_log.read("one", "journal") == [b"open", b"closed"]


def swap(first: bytes, second: bytes, third: bytes) -> bytes:
    return second + first + third


def repeat(first: bytes, second: bytes, third: bytes) -> bytes:
    return first + second + second + third


def drop(first: bytes, second: bytes, third: bytes) -> bytes:
    return first + third


def drop_first(first: bytes, second: bytes, third: bytes) -> bytes:
    return second + third


@pytest.mark.parametrize("change", [swap, repeat, drop, drop_first])
async def test_encrypted_records_that_were_reordered_repeated_or_dropped_are_refused(tmp_path, change):
    """An encrypted record is bound to its position in its log."""
    async with opened(tmp_path, CIPHER) as session_log:
        await session_log.append("one", "journal", [b"first", b"again"])
        await session_log.append("one", "journal", [b"third"])
    whole = (tmp_path / "one/journal").read_bytes()
    length = len(whole) // 3
    (tmp_path / "one/journal").write_bytes(change(whole[:length], whole[length : 2 * length], whole[2 * length :]))

    async with opened(tmp_path, CIPHER) as session_log:
        with pytest.raises(BlobUnreadable, match="one/journal"):
            await session_log.read("one", "journal")


async def test_encrypted_record_of_another_log_is_refused(tmp_path):
    """A record is bound to its session and its log."""
    async with opened(tmp_path, CIPHER) as session_log:
        await session_log.append("one", "journal", [b"first"])
        await session_log.append("two", "journal", [b"other"])
    (tmp_path / "one/journal").write_bytes((tmp_path / "two/journal").read_bytes())

    async with opened(tmp_path, CIPHER) as session_log:
        with pytest.raises(BlobUnreadable):
            await session_log.read("one", "journal")


async def test_every_altered_byte_of_an_encrypted_log_loses_or_refuses_its_record(tmp_path):
    """No record ever comes back as another one, also where the checksum was made to fit."""
    async with opened(tmp_path, CIPHER) as session_log:
        await session_log.append("one", "log", [b"first", b"again"])
    path, whole = tmp_path / "one/log", (tmp_path / "one/log").read_bytes()
    length = len(whole) // 2
    for at in range(length):
        record = bytearray(whole[:length])
        record[at] ^= 1
        if at >= 12:
            record[8:12] = zlib.crc32(record[12:]).to_bytes(4, "little")
        path.write_bytes(bytes(record) + whole[length:])
        async with opened(tmp_path, CIPHER) as session_log:
            if at >= 12:
                with pytest.raises(BlobUnreadable):
                    await session_log.read("one", "log")
            else:
                assert await session_log.read("one", "log") == [b"again"]


async def test_damage_in_the_middle_is_logged(tmp_path):
    """With the number of lost bytes; a torn end is none."""
    async with opened(tmp_path, CIPHER) as session_log:
        await session_log.append("one", "log", [b"first", b"again", b"third"])
        path, whole = tmp_path / "one/log", (tmp_path / "one/log").read_bytes()
        length = len(whole) // 3
        path.write_bytes(whole[:-1])
        with capture_logs() as silent:
            torn = await session_log.read("one", "log")
        path.write_bytes(whole[:length] + bytes(length) + whole[2 * length :])
        with capture_logs() as logged:
            damaged = await session_log.read("one", "log")

    assert (torn, damaged) == ([b"first", b"again"], [b"first", b"third"])
    assert silent == []
    assert [(line["event"], line["lost_bytes"]) for line in logged] == [("session log is damaged", length)]


async def test_log_from_before_key_ids_is_read_and_appended_to(tmp_path):
    """Also under a key that is not the active one any more."""
    old = bytes(range(32))
    (tmp_path / "one").mkdir()
    (tmp_path / "one/log").write_bytes(record_without_key_id(old, b"before", "one/log"))

    async with opened(tmp_path, AesCipher(bytes(32), old)) as session_log:
        await session_log.append("one", "log", [b"since"])

        assert await session_log.read("one", "log") == [b"before", b"since"]


async def test_reencrypted_log_needs_the_active_key_alone(tmp_path):
    """Plain records, those from before key ids and those of an old key; once done there is nothing to do."""
    old, active = bytes(range(32)), bytes(32)
    (tmp_path / "one").mkdir()
    (tmp_path / "one/log").write_bytes(record_without_key_id(old, b"before", "one/log"))
    async with opened(tmp_path) as session_log:
        await session_log.append("one", "log", [b"plain"])
    async with opened(tmp_path, AesCipher(old)) as session_log:
        await session_log.append("one", "log", [b"old"])
    before = (tmp_path / "one/log").read_bytes()

    async with opened(tmp_path, AesCipher(active, old)) as session_log:
        would = await session_log.reencrypt("one", "log", dry_run=True)
        untouched = (tmp_path / "one/log").read_bytes()
        done = [await session_log.reencrypt("one", "log") for _ in range(2)]
        await session_log.append("one", "log", [b"since"])
        size = session_log.size_bytes

    assert (would, untouched, done, size) == (True, before, [True, False], (tmp_path / "one/log").stat().st_size)
    async with opened(tmp_path, AesCipher(active)) as session_log:
        assert await session_log.read("one", "log") == [b"before", b"plain", b"old", b"since"]
        assert await session_log.log_names("one") == ["log"]


async def test_log_under_an_unknown_key_is_not_reencrypted(tmp_path):
    """It stays as it is."""
    async with opened(tmp_path, CIPHER) as session_log:
        await session_log.append("one", "log", [b"first"])
    before = (tmp_path / "one/log").read_bytes()

    async with opened(tmp_path, AesCipher(bytes(32))) as session_log:
        with pytest.raises(BlobUnreadable):
            await session_log.reencrypt("one", "log")

    assert (tmp_path / "one/log").read_bytes() == before


@pytest.mark.parametrize("key", ["", "short", "AAAA", "!" * 44])
def test_invalid_encryption_key_is_refused(key):
    """It must be 32 bytes in base64."""
    with pytest.raises(SettingsError, match="PARLEY_ARCHIVE_KEY"):
        cipher_from_keys(key)


async def test_append_on_a_full_disk_is_all_or_nothing(small_disk):
    """On a disk of one megabyte: busy, what was there stays whole, and with room again it goes on."""
    async with opened(small_disk) as session_log:
        taken = 0
        with pytest.raises(ProviderBusy, match="full"):
            while True:
                await session_log.append("one", "log", [zlib.crc32(b"%d" % taken).to_bytes(4, "big") * 20_000])
                taken += 1
        assert len(await session_log.read("one", "log")) == taken > 5
        await session_log.remove_session("one")
        await session_log.append("one", "log", [b"again"])
        assert await session_log.read("one", "log") == [b"again"]


async def test_session_log_is_read_from_an_offset(tmp_path, cipher):
    """Each record once; a torn end is read when it is whole."""
    async with opened(tmp_path, cipher) as session_log:
        await session_log.append("one", "journal", [b"first", b"second"])
        records, offset = await session_log.read_from("one", "journal", 0)
        none, same = await session_log.read_from("one", "journal", offset)
        await session_log.append("one", "journal", [b"third"])
        path = tmp_path / "one/journal"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        torn, still = await session_log.read_from("one", "journal", offset)
        path.write_bytes(whole)
        third, end = await session_log.read_from("one", "journal", still)

    assert (records, none, torn, third) == ([b"first", b"second"], [], [], [b"third"])
    assert (same, still, end) == (offset, offset, len(whole))


class RecordingCipher:
    """No encryption; notes on which threads it was asked for."""

    def __init__(self) -> None:
        self.threads = set()

    def encrypt(self, message: bytes, name: str) -> bytes:
        self.threads.add(threading.get_ident())
        return message

    def decrypt(self, ciphertext: bytes, name: str) -> bytes:
        self.threads.add(threading.get_ident())
        return ciphertext


async def test_encryption_never_runs_on_the_event_loop(tmp_path):
    """Neither when records are written nor when thousands of them are read."""
    cipher = RecordingCipher()
    async with opened(tmp_path, cipher) as session_log:
        await session_log.append("one", "journal", [b"first"])
        assert await session_log.read("one", "journal") == [b"first"]

    assert cipher.threads
    assert threading.get_ident() not in cipher.threads


async def test_disk_below_the_reserve_has_no_space(small_disk):
    """Below a twentieth of free space; as soon as there is room again it does."""
    async with opened(small_disk) as session_log:
        assert session_log.has_space
        await session_log.append("one", "log", [bytes(1_010_000)])
        full = session_log.has_space
        await session_log.remove_session("one")

        assert not full
        assert session_log.has_space


async def test_disk_full_append_means_no_space_for_a_while(small_disk):
    """A quota shows in no figure of the disk: the failed append says it, until time has passed or one succeeds."""
    time = [0.0]
    session_log = DiskSessionLog(small_disk, limit=1 << 30, fsync="never", cipher=None, reserve=0, now=lambda: time[0])
    with pytest.raises(ProviderBusy):
        await session_log.append("one", "log", [bytes(2_000_000)])
    at_once = session_log.has_space
    time[0] = FULL_FOR_S
    later = session_log.has_space
    with pytest.raises(ProviderBusy):
        await session_log.append("one", "log", [bytes(2_000_000)])
    again = session_log.has_space
    await session_log.append("one", "log", [b"little"])

    assert (at_once, later, again, session_log.has_space) == (False, True, False, True)
