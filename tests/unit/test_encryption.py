"""Encryption: ciphers with several keys, the strictness of encrypted stores, keys from the settings."""

import base64
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.assembly.archive import describe_encryption, open_store, read_cipher
from app.config import Settings
from app.domain.errors import BlobUnreadable, SettingsError
from app.domain.recording.blob_keys import began_before
from storage.aes import AesCipher, cipher_from_keys, key_id
from storage.encrypted import EncryptedBlobStore
from tests.earlier_formats import encrypted_without_key_id
from tests.fakes import MemoryBlobStore

pytestmark = pytest.mark.anyio

OLD, ACTIVE, OTHER = bytes(32), b"1" * 32, b"2" * 32
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEYS = st.binary(min_size=32, max_size=32)

KEY_ID_OF_OLD = "4739dd28b6dd3e5c"
WITHOUT_KEY_ID = "0aeea78780d54c8dc61ad652dbaff43cfe8058ba73e8f91f535adc1a2f0068e9a82fc22b2bd01b26"
WITH_KEY_ID = KEY_ID_OF_OLD + "000102030405060708090a0b0c0d0e0f3f19d0c3bb40238264a9e4d3cedaa2b30628b1a618569938"
"""`a secret` under the key OLD and the name `name`, as it was stored before there were key ids, and since."""


def session_at(moment: datetime) -> str:
    """An id of a session that began then: a UUID of version 7."""
    return f"{int(moment.timestamp() * 1000):012x}7{'0' * 19}"


def manifest_key(moment: datetime) -> str:
    return f"sessions/{moment.date().isoformat()}/{session_at(moment)}/manifest.json"


def base64_of(key: bytes) -> str:
    return base64.b64encode(key).decode()


async def encrypted(inner: MemoryBlobStore, *keys: bytes, now: datetime = NOON) -> EncryptedBlobStore:
    store = EncryptedBlobStore(inner, AesCipher(*keys), now=lambda: now)
    await store.check_keys()
    return store


# -- Ciphers ----------------------------------------------------------------------------------------


@given(st.lists(KEYS, min_size=1, max_size=4, unique=True), st.binary(max_size=300), st.text(max_size=20))
def test_ciphertext_decrypts_under_every_cipher_that_has_its_key(keys, message, name):
    """Wherever in the list its key is; without it, it does not."""
    ciphertext = AesCipher(keys[0]).encrypt(message, name)

    assert AesCipher(*keys).decrypt(ciphertext, name) == message
    assert AesCipher(*reversed(keys)).decrypt(ciphertext, name) == message
    for other in keys[1:]:
        with pytest.raises(BlobUnreadable, match=key_id(keys[0])):
            AesCipher(other).decrypt(ciphertext, name)


def test_every_altered_byte_of_a_ciphertext_is_refused():
    """Key id, salt, text and tag; a shortened one and another name, too."""
    cipher = AesCipher(ACTIVE, OLD)
    ciphertext = cipher.encrypt(b"a secret", "name")
    altered = [
        ciphertext[:at] + bytes([ciphertext[at] ^ bit]) + ciphertext[at + 1 :]
        for at in range(len(ciphertext))
        for bit in (1, 128)
    ]
    shortened = [ciphertext[:length] for length in range(len(ciphertext))]

    for wrong, name in [*((each, "name") for each in altered + shortened), (ciphertext, "another name")]:
        with pytest.raises(BlobUnreadable):
            cipher.decrypt(wrong, name)
        with pytest.raises(BlobUnreadable):
            cipher.decrypt_without_key_id(wrong, name)


def test_stored_formats_and_key_ids_do_not_change():
    """A ciphertext from before there were key ids, one with a key id, and a key's id, as earlier versions made them."""
    without_key_id = bytes.fromhex(WITHOUT_KEY_ID)
    with_key_id = bytes.fromhex(WITH_KEY_ID)
    cipher = AesCipher(ACTIVE, OLD)

    assert key_id(OLD) == KEY_ID_OF_OLD
    assert cipher.decrypt_without_key_id(without_key_id, "name") == b"a secret"
    assert cipher.decrypt(with_key_id, "name") == b"a secret"


def test_keys_are_in_no_representation_and_no_error():
    """Neither raw nor in base64."""
    cipher = AesCipher(ACTIVE, OLD)

    assert repr(cipher) == f"AesCipher({key_id(ACTIVE)}, {key_id(OLD)})"
    with pytest.raises(SettingsError) as caught:
        cipher_from_keys(base64_of(ACTIVE), [base64_of(OTHER)[:-8]])
    assert "PARLEY_ARCHIVE_OLD_KEYS" in str(caught.value)
    assert base64_of(OTHER)[:-8] not in f"{caught.value} {caught.value.__cause__}"


# -- Stores -----------------------------------------------------------------------------------------


async def test_every_altered_byte_of_an_encrypted_blob_is_refused():
    """The mark as well: what it is not encrypted any more is not believed."""
    inner, key = MemoryBlobStore(), manifest_key(NOON + timedelta(minutes=1))
    store = await encrypted(inner, ACTIVE)
    await store.put(key, b"a secret", content_type="text/plain")
    blob = inner.blobs[key]

    for at in range(len(blob)):
        inner.blobs[key] = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        with pytest.raises(BlobUnreadable):
            await store.get(key)


async def test_blob_from_before_key_ids_is_read_with_an_old_key():
    """Whichever key it was; moved to another name it is not."""
    key = manifest_key(NOON)
    inner = MemoryBlobStore({key: b"PLYs" + encrypted_without_key_id(OLD, b"a secret", key)})
    inner.blobs["moved"] = inner.blobs[key]
    store = await encrypted(inner, ACTIVE, OLD)

    assert await store.get(key) == b"a secret"
    with pytest.raises(BlobUnreadable):
        await store.get("moved")


async def test_planted_plain_manifest_is_refused_and_a_recording_from_before_encryption_is_read():
    """By the moment at which encryption was turned on and the one in the session's id."""
    before, after = manifest_key(NOON - timedelta(seconds=1)), manifest_key(NOON + timedelta(seconds=1))
    inner = MemoryBlobStore({before: b"{}", after: b"{}"})
    store = await encrypted(inner, ACTIVE)
    later = await encrypted(inner, OTHER, ACTIVE, now=NOON + timedelta(days=9))

    for each in (store, later):
        assert await each.get(before) == b"{}"
        with pytest.raises(BlobUnreadable, match="not encrypted"):
            await each.get(after)


async def test_archive_that_was_encrypted_from_its_first_recording_on_has_no_plain_blobs():
    """However old a planted one looks."""
    inner = MemoryBlobStore()
    store = await encrypted(inner, ACTIVE)
    inner.blobs[old := manifest_key(NOON - timedelta(days=900))] = b"{}"

    with pytest.raises(BlobUnreadable, match="not encrypted"):
        await store.get(old)
    with pytest.raises(BlobUnreadable, match="not encrypted"):
        await (await encrypted(inner, ACTIVE)).get(old)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sessions/2026-11-25/one/manifest.json", True),
        ("sessions/2026-11-26/one/manifest.json", False),
        ("sessions/2026-11-25/one/replies/0001.flac", True),
        ("index/2026-11-25/one", True),
        ("tenants/acme/2026-11-25/one", True),
        ("sessions/someday/one/manifest.json", False),
        ("sessions/2026-11-25/one", False),
        ("doctor/hello", False),
        ("", False),
        (manifest_key(NOON - timedelta(milliseconds=1)), True),
        (manifest_key(NOON), False),
    ],
)
def test_recordings_before_a_moment_are_known_by_their_keys(key, expected):
    """By the moment in the session's id; by the end of the day where the id names none."""
    assert began_before(key, NOON) is expected


# -- Settings ---------------------------------------------------------------------------------------


async def test_keys_are_read_from_a_file(tmp_path):
    """The first line is the active key, the others decrypt."""
    path = tmp_path / "keys"
    path.write_text(f"{base64_of(ACTIVE)}\n{base64_of(OLD)}\n")

    assert read_cipher(Settings(archive_key_file=path)).key_ids == (key_id(ACTIVE), key_id(OLD))
    both = Settings(archive_key=base64_of(ACTIVE), archive_old_keys=f"{base64_of(OLD)}, {base64_of(OTHER)},")
    assert read_cipher(both).key_ids == (key_id(ACTIVE), key_id(OLD), key_id(OTHER))
    assert read_cipher(Settings()) is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"archive_key_file": "no/such/file"}, "PARLEY_ARCHIVE_KEY_FILE cannot be read"),
        ({"archive_key_file": "/dev/null"}, "PARLEY_ARCHIVE_KEY_FILE has no key"),
        ({"archive_key_file": "/dev/null", "archive_key": base64_of(ACTIVE)}, "PARLEY_ARCHIVE_KEY_FILE, or"),
        ({"archive_old_keys": base64_of(ACTIVE)}, "PARLEY_ARCHIVE_KEY is not"),
        ({"archive_key": base64_of(ACTIVE), "archive_old_keys": "short"}, "PARLEY_ARCHIVE_OLD_KEYS"),
        ({"archive_key": "kéy"}, "PARLEY_ARCHIVE_KEY"),
    ],
)
def test_wrong_key_settings_are_named(settings, words):
    """And no key is repeated."""
    with pytest.raises(SettingsError, match=words) as caught:
        read_cipher(Settings(**settings))

    assert base64_of(ACTIVE) not in str(caught.value)


async def test_start_with_another_key_is_refused(tmp_path):
    """The sentence says which key is missing and where to put it; with both of them the start goes on."""

    def settings(**keys) -> Settings:
        return Settings(audio_storage_dir=tmp_path, **keys)

    first = settings(archive_key=base64_of(OLD))
    async with open_store(first) as store:
        await store.put("one", b"1", content_type="text/plain")

    with pytest.raises(SettingsError, match=rf"{key_id(OLD)}.*PARLEY_ARCHIVE_OLD_KEYS"):
        async with open_store(settings(archive_key=base64_of(ACTIVE))):
            pass
    with pytest.raises(SettingsError, match=f"PARLEY_ARCHIVE_KEY is not set.*{key_id(OLD)}"):
        async with open_store(settings()):
            pass
    async with open_store(settings(archive_key=base64_of(ACTIVE), archive_old_keys=base64_of(OLD))) as store:
        assert await store.get("one") == b"1"
    with pytest.raises(SettingsError, match=key_id(ACTIVE)):
        async with open_store(first):
            pass


async def test_start_of_encryption_is_logged_once_without_the_key(tmp_path):
    """With the key's id."""
    settings = Settings(audio_storage_dir=tmp_path, archive_key=base64_of(ACTIVE))

    with capture_logs() as logged:
        for _ in range(2):
            async with open_store(settings):
                pass

    (line,) = logged
    assert (line["event"], line["key"]) == ("archive is encrypted from now on", key_id(ACTIVE))
    assert base64_of(ACTIVE) not in f"{line} {settings!r}"


async def test_doctor_describes_the_keys_and_what_may_be_unencrypted(tmp_path):
    """By their ids; a key that is not the archive's is an error; nothing is written."""

    def settings(**keys) -> Settings:
        return Settings(audio_storage_dir=tmp_path, **keys)

    both = settings(archive_key=base64_of(ACTIVE), archive_old_keys=base64_of(OLD))
    plain, new = await describe_encryption(settings()), await describe_encryption(both)
    written = list(tmp_path.iterdir())
    async with open_store(settings(archive_key=base64_of(OLD))):
        pass

    assert plain == "none"
    assert new == f"key {key_id(ACTIVE)}, old keys {key_id(OLD)}; unencrypted: none"
    assert written == []
    assert await describe_encryption(both) == new
    for wrong in (settings(), settings(archive_key=base64_of(ACTIVE))):
        with pytest.raises(SettingsError, match=key_id(OLD)):
            await describe_encryption(wrong)


async def test_doctor_says_since_when_every_recording_is_encrypted(tmp_path):
    """Where there were recordings before."""
    (tmp_path / "sessions/2026-11-25/one").mkdir(parents=True)
    (tmp_path / "sessions/2026-11-25/one/manifest.json").write_bytes(b"{}")
    given = Settings(audio_storage_dir=tmp_path, archive_key=base64_of(ACTIVE))
    async with open_store(given):
        pass

    assert re.search(r"unencrypted: recordings before 20\d\d-\d\d-\d\d \d\d:\d\d UTC", await describe_encryption(given))
