"""What has become of an uploaded file: `GET /recordings/jobs/ID`."""

from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromPath

from app.domain.errors import BlobNotFound
from app.domain.principal import Principal, Scope
from app.runtime.recording.file_upload import FileUpload, JobState
from app.runtime.recording.journal import read_journal
from app.web.auth.audit import set_owner
from app.web.auth.middleware import requires
from app.web.recordings.access import manifest_for, require_session_id, service_of


@get("/jobs/{session:str}", opt=requires(Scope.TRANSCRIBE))
async def get_job(state: State, request: Request[Principal, Any, Any], session: FromPath[str]) -> dict[str, Any]:
    """Its state: `queued`, `running`, `done` or `failed`, and why; `warnings` say what could not be decoded.

    The id is that of the recording. A failure is kept for a week.
    """
    require_session_id(session)
    service = service_of(state)
    upload = service.uploads.job(session)
    if upload is not None:
        set_owner(request, upload.opened.tenant)
        if not request.user.may_see(upload.opened.tenant):
            raise BlobNotFound(session)
        return _job(upload)
    journal = await read_journal(service.uploader.session_log, session)
    if journal.opened is not None and request.user.may_see(journal.opened.tenant):
        is_over, warnings = journal.ended is not None, journal.warnings
    else:
        manifest = await manifest_for(request, session)
        is_over, warnings = not manifest.is_live, manifest.warnings
    return {"id": session, "state": JobState.DONE if is_over else JobState.RUNNING, "warnings": warnings}


def _job(upload: FileUpload) -> dict[str, Any]:
    if upload.failure is None:
        return {"id": upload.session, "state": upload.state, "attempts": upload.attempts}
    reason = {"code": upload.failure.code, "message": upload.failure.message, "warnings": upload.failure.warnings}
    return {"id": upload.session, "state": upload.state, "attempts": upload.attempts, **reason}
