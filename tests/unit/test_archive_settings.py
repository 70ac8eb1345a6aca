"""The archive as the settings make it."""

import base64

import pytest

from app.assembly.archive import open_archive, open_store
from app.config import Settings
from app.domain.audio import AudioChunk
from app.domain.errors import ProviderRefused, SettingsError
from app.domain.recording.session_id import date_of
from tests.fakes import SPEECH

pytestmark = pytest.mark.anyio
KEY = base64.b64encode(bytes(range(32))).decode()


async def test_archive_key_encrypts_session_log_and_blobs(tmp_path):
    """Neither spool nor blobs; through the archive both are read."""
    given = Settings(audio_storage_dir=tmp_path, archive_key=KEY)

    async with open_archive(given) as uploader:
        async with uploader.record_session("one") as recorder:
            await recorder.write_audio(AudioChunk(SPEECH * 50, 0))
        spooled = b"".join(path.read_bytes() for path in (tmp_path / ".spool/one").iterdir())
        async with uploader.running():
            pass
        manifest = await uploader.recordings.manifest("one")

    blobs = b"".join(path.read_bytes() for path in tmp_path.glob("sessions/**/*") if path.is_file())
    assert manifest.samples == len(SPEECH) * 25
    assert SPEECH not in spooled
    assert b"opened" not in spooled
    assert b"fLaC" not in blobs
    assert b"session" not in blobs
    assert date_of("one") is None


async def test_two_services_cannot_share_a_session_log(tmp_path):
    """The second one is told at its start."""
    given = Settings(audio_storage_dir=tmp_path)
    async with open_archive(given):
        with pytest.raises(ProviderRefused, match="PARLEY_SPOOL_DIR"):
            async with open_archive(given):
                pass


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"blob_store": "s3"}, "PARLEY_S3_BUCKET"),
        ({"blob_store": "azure"}, "PARLEY_AZURE_CONTAINER"),
        ({"archive_key": "too short"}, "PARLEY_ARCHIVE_KEY"),
    ],
)
async def test_missing_archive_setting_is_named(tmp_path, given, words):
    """The start stops, and the sentence says which setting."""
    with pytest.raises(SettingsError, match=words):
        async with open_store(Settings(audio_storage_dir=tmp_path, **given)):
            pass


@pytest.mark.parametrize(
    "given",
    [
        {"blob_store": "s3", "s3_bucket": "archive"},
        {
            "blob_store": "azure",
            "azure_container": "a",
            "azure_account_url": "https://example.invalid",
            "azure_sas_token": "sig=x",
        },
    ],
)
async def test_blob_store_that_is_down_does_not_prevent_the_start(tmp_path, given):
    """Nothing is asked of it before there is something to store."""
    async with open_store(Settings(audio_storage_dir=tmp_path, **given)) as store:
        assert store is not None
