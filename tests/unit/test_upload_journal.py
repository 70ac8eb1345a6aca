"""The journal of an upload, as a start of the service finds it."""

import pytest

from app.runtime.recording.file_upload import JOURNAL
from app.runtime.recording.file_uploads import FileUploads
from app.runtime.recording.uploader import Uploader
from tests.fakes import MemoryBlobStore, MemorySessionLog

pytestmark = pytest.mark.anyio
SESSION = "01932c5e0a7b7def8123456789abcdef"


@pytest.mark.parametrize("entry", [b'{"type":"of a later version"}', b"{", b'{"type":"\xff"}', b"[" * 3000])
async def test_upload_whose_journal_cannot_be_read_keeps_no_service_from_starting_and_stays(entry):
    session_log = MemorySessionLog({SESSION: {JOURNAL: [entry]}})
    uploads = FileUploads(Uploader(session_log, MemoryBlobStore()))

    await uploads.load()

    assert uploads.files == {}
    assert SESSION in uploads.uploader.held_sessions
    assert session_log.records == {SESSION: {JOURNAL: [entry]}}
