"""UploadJobs: transcribes accepted files in the background, each until it is a recording or has failed for good."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import anyio
import structlog

from app.domain.errors import ClientError, ParleyError, ProviderError, RequestRefused
from app.domain.recording.subtitles import Segment
from app.domain.tenant import Tenant
from app.runtime.admission import Admission
from app.runtime.recording.file_upload import FileUpload
from app.runtime.recording.file_uploads import FileUploads
from app.runtime.supervision import report_defect

CONCURRENT_JOBS = 2
MAX_ATTEMPTS = 5
POLL_S = 0.5
"""Between two looks whether a waiting file may begin."""
FIRST_PAUSE_S = 1.0
"""Before a file whose engine failed is tried again; each further attempt doubles it."""
SWEEP_EVERY_S = 3600.0
GIVEN_UP = "given_up"

_log = structlog.get_logger("parley.recordings")


@dataclass(slots=True)
class UploadJobs:
    files: FileUploads
    admission: Admission
    tenant: Callable[[str], Tenant]
    """The tenant of this name."""
    transcribe: Callable[[FileUpload, Tenant, list[str]], Awaitable[list[Segment]]]
    """One attempt; the list gets what could not be decoded."""
    first_pause_s: float = FIRST_PAUSE_S

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs in the background, by name."""
        jobs = {f"upload job {number}": self._run for number in range(CONCURRENT_JOBS)}
        return {**jobs, "upload sweep": self._sweep}

    async def _run(self) -> None:
        while True:
            upload = await self._take()
            try:
                await self._attempt(upload)
            finally:
                upload.is_running = False

    async def _sweep(self) -> None:
        while True:
            await self.files.sweep()
            await anyio.sleep(SWEEP_EVERY_S)

    async def _take(self) -> FileUpload:
        """The oldest file that may begin now: one whose tenant has a place, and that does not pause."""
        while True:
            queued = self.files.queued()
            for upload in queued:
                is_due = upload.retry_at <= anyio.current_time()
                if (
                    is_due
                    and not self.admission.is_draining
                    and self.admission.refusal(self.tenant(upload.opened.tenant)) is None
                ):
                    upload.is_running = True
                    return upload
            if queued:
                await anyio.sleep(POLL_S)
            else:
                await self.files.wait_for_change()

    async def _attempt(self, upload: FileUpload) -> None:
        """One attempt, and what follows from its outcome."""
        tenant, warnings, is_started = self.tenant(upload.opened.tenant), list[str](), False
        try:
            if upload.attempts >= MAX_ATTEMPTS:
                await self._fail(upload, GIVEN_UP, f"the service stopped {upload.attempts} times in the middle of it")
                return
            with self.admission.admitted(upload.session, tenant):
                await self.files.start_attempt(upload)
                is_started = True
                await self.transcribe(upload, tenant, warnings)
        except ProviderError as error:
            if error.retryable and upload.attempts < MAX_ATTEMPTS:
                self._pause(upload, error)
            else:
                await self._fail(upload, error.code, str(error), warnings)
        except (ClientError, RequestRefused) as error:
            await self._fail(upload, error.code, str(error), warnings)
        except ParleyError as error:  # no capacity, or the file was deleted meanwhile
            self._pause(upload, error)
        except Exception as error:  # noqa: BLE001 because nobody above would log it
            report_defect("upload job", error, session=upload.session)
            await self._fail(upload, "internal_error", "something went wrong on the server", warnings)
        except BaseException:  # because a service that stops leaves the file to the next start
            if is_started:
                with anyio.CancelScope(shield=True), suppress(ParleyError):  # then the attempt counts
                    await self.files.interrupt_attempt(upload)
            raise

    async def _fail(self, upload: FileUpload, code: str, message: str, warnings: list[str] | None = None) -> None:
        try:
            await self.files.fail(upload, code, message, tuple(warnings or ()))
        except ParleyError as error:  # the disk is full: it is tried again
            self._pause(upload, error)

    def _pause(self, upload: FileUpload, error: ParleyError) -> None:
        pause_s = self.first_pause_s * 2.0 ** max(0, upload.attempts - 1)
        upload.retry_at = anyio.current_time() + pause_s
        _log.warning("recording is transcribed later", session=upload.session, message=str(error), pause_s=pause_s)
