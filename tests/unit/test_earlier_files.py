"""Files that an earlier release left in the session log become jobs at the first start."""

from dataclasses import dataclass

import msgspec
import pytest

from app.domain.errors import BlobUnreadable, ProviderBusy
from app.domain.job import JobState
from app.runtime.jobs.earlier_files import EarlierFiles
from app.runtime.jobs.file_blobs import FileBlobs
from app.runtime.jobs.file_uploads import FileUploads
from app.runtime.recording.uploader import Uploader
from tests.fakes import MemoryBlobStore, MemoryJobs, MemorySessionLog

pytestmark = pytest.mark.anyio
SESSION = "01932c5e0a7b7def8123456789abcdef"
AT = "2026-01-31T12:00:00.000+00:00"
OPENED = {"type": "opened", "tenant": "acme", "at": AT, "length": 10, "language": "de"}
ACCEPTED = {"type": "accepted", "length": 10, "at": AT}
ATTEMPT, INTERRUPTED = {"type": "attempt", "at": AT}, {"type": "interrupted", "at": AT}
FAILED = {"type": "failed", "code": "bad_audio", "message": "no audio", "at": AT, "warnings": ["cut"]}
SEGMENTS = {"upload-000000000000": [b"first", b"-"], "upload-000000000006": [b"last"]}


@dataclass
class LogUnderAnotherKey(MemorySessionLog):
    """Its records cannot be read."""

    async def read(self, session: str, log: str) -> list[bytes]:
        raise BlobUnreadable("session log", "encrypted with another key")


def earlier(*entries, log: type[MemorySessionLog] = MemorySessionLog, **others) -> EarlierFiles:
    journal = [entry if isinstance(entry, bytes) else msgspec.json.encode(entry) for entry in entries]
    session_log = log({SESSION: {"upload": journal, **SEGMENTS, **others}})
    uploader = Uploader(session_log, MemoryBlobStore())
    return EarlierFiles(FileUploads(MemoryJobs(), FileBlobs(uploader.store), uploader))


async def bytes_of(files: FileUploads) -> bytes:
    with await files.open_file(await files.jobs.get(SESSION)) as file:
        return file.read()


@pytest.mark.parametrize(
    ("entries", "state", "attempts"),
    [
        ([OPENED], JobState.RECEIVING, 0),
        ([OPENED, ACCEPTED], JobState.QUEUED, 0),
        ([OPENED, ACCEPTED, ATTEMPT, INTERRUPTED, ATTEMPT], JobState.QUEUED, 1),
        ([OPENED, ACCEPTED, FAILED], JobState.FAILED, 0),
        ([{**OPENED, "length": None}, ACCEPTED], JobState.QUEUED, 0),
        ([{**OPENED, "length": None}], JobState.FAILED, 0),
    ],
)
async def test_earlier_file_becomes_a_job_in_its_state(entries, state, attempts):
    files = earlier(*entries, journal=[b"of a half made recording"])
    await files.hold()
    assert files.files.uploader.held_sessions == {SESSION}
    assert await files.take_over()
    job = await files.files.jobs.get(SESSION)

    assert (job.state, job.attempts, job.tenant, job.language) == (state, attempts, "acme", "de")
    assert (job.received, job.created.year) == (10, 2024)
    assert await bytes_of(files.files) == b"first-last"
    assert (files.files.uploader.session_log.records, files.files.uploader.held_sessions) == ({}, set())


async def test_reason_of_an_earlier_failure_is_kept():
    files = earlier(OPENED, ACCEPTED, FAILED)
    await files.take_over()
    job = await files.files.jobs.get(SESSION)

    assert (job.code, job.message, job.warnings, job.has_remains) == ("bad_audio", "no audio", ("cut",), True)


async def test_earlier_file_without_an_entry_leaves_nothing():
    """The process died before the first one."""
    files = earlier()
    await files.take_over()

    assert (files.files.jobs.rows, files.files.uploader.session_log.records) == ({}, {})


async def test_earlier_file_is_taken_over_when_the_database_is_back_and_once():
    files = earlier(OPENED, ACCEPTED)
    files.files.jobs.error = ProviderBusy("jobs", "asked to fail")
    early = await files.take_over()
    left = dict(files.files.uploader.session_log.records[SESSION])
    files.files.jobs.error = None
    late = await files.take_over()
    files.files.uploader.session_log.records[SESSION] = left  # as where the process died before it removed them
    again = await files.take_over()

    assert (early, late, again) == (False, True, True)
    assert await bytes_of(files.files) == b"first-last"
    assert files.files.uploader.session_log.records == {}


@pytest.mark.parametrize("entry", [b'{"type":"of a later version"}', b"{", b'{"type":"\xff"}', b"[" * 3000])
async def test_earlier_file_whose_journal_cannot_be_read_stays(entry):
    """It keeps no service from starting, and is no recording."""
    files = earlier(entry)
    await files.hold()

    assert await files.take_over()
    assert files.files.jobs.rows == {}
    assert files.files.uploader.held_sessions == {SESSION}
    assert files.files.uploader.session_log.records[SESSION]["upload"] == [entry]


async def test_earlier_file_under_another_key_stays():
    files = earlier(OPENED, log=LogUnderAnotherKey)

    assert await files.take_over()
    assert SESSION in files.files.uploader.session_log.records
