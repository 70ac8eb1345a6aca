"""What has become of a file, as releases before jobs had a path of their own answered: `GET /recordings/jobs/ID`."""

from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromPath

from app.domain.errors import BlobNotFound
from app.domain.job import JobState, TranscriptionJob
from app.domain.principal import Principal, Scope
from app.runtime.recording.journal import read_journal
from app.web.auth.job_access import job_for
from app.web.auth.middleware import requires
from app.web.recordings.access import manifest_for, require_session_id, service_of


@get("/jobs/{session:str}", opt=requires(Scope.TRANSCRIBE))
async def get_recording_job(
    state: State, request: Request[Principal, Any, Any], session: FromPath[str]
) -> dict[str, Any]:
    """Its state: `queued`, `running`, `done`, `failed` or `cancelled`, and why; `warnings`: what could not be decoded.

    The id is that of the recording; also of one that was spoken, or whose job is forgotten.
    """
    require_session_id(session)
    service = service_of(state)
    job = await service.jobs.get(session)
    if job is not None and not (job.state is JobState.RECEIVING or job.attended):
        return _job(await job_for(request, service.jobs, session))
    opened = (journal := await read_journal(service.uploader.session_log, session)).opened
    if opened is not None and request.user.may_control(opened.tenant, opened.person):
        is_over, warnings = journal.ended is not None, journal.warnings
    else:
        manifest = await manifest_for(request, session)
        if not request.user.may_control(manifest.tenant, manifest.person):
            raise BlobNotFound(session)
        is_over, warnings = not manifest.is_live, manifest.warnings
    return {"id": session, "state": JobState.DONE if is_over else JobState.RUNNING, "warnings": warnings}


def _job(job: TranscriptionJob) -> dict[str, Any]:
    if job.state is JobState.DONE:
        return {"id": job.id, "state": job.state, "warnings": job.warnings}
    found: dict[str, Any] = {"id": job.id, "state": job.state, "attempts": job.attempts}
    if job.state is JobState.FAILED:
        found |= {"code": job.code, "message": job.message, "warnings": job.warnings}
    return found
