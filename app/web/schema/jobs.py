"""The document's table of `/jobs`."""

from typing import Any

from app.web.schema.operation import DocumentedBody, DocumentedOperation, DocumentedResponse, Operations, ok
from app.web.schema.parameters import SESSION, value

_JOB: dict[str, Any] = {
    "id": SESSION,
    "tenant": "acme",
    "person": None,
    "state": "queued",
    "source": "upload",
    "conversation": None,
    "language": None,
    "bytes": {"received": 1048576, "length": 1048576},
    "progress": {"seconds": 0.0, "of": None},
    "attempts": 0,
    "crashes": 0,
    "code": None,
    "message": None,
    "warnings": [],
    "created": "2026-01-31T12:00:00.000+00:00",
    "updated": "2026-01-31T12:00:09.120+00:00",
    "finished": None,
}
_RUNNING = {**_JOB, "state": "running", "attempts": 1, "progress": {"seconds": 61.0, "of": 234.6}}
_FINISHED = {"attempts": 1, "finished": "2026-01-31T12:01:00.000+00:00"}
_DONE = {**_JOB, **_FINISHED, "state": "done", "progress": {"seconds": 234.6, "of": 234.6}}
_FAILED = {
    **_JOB,
    **_FINISHED,
    "state": "failed",
    "code": "bad_audio",
    "message": "there is no audio in the file",
}
_CANCELLED = {**_JOB, **_FINISHED, "state": "cancelled"}
_ERRORS = ("not_found", "provider_busy")
_BEFORE = {"before": value("The `next` of the previous page.", SESSION)}

JOBS: Operations = {
    ("GET", "/jobs"): DocumentedOperation(
        "listJobs",
        "List transcription jobs",
        (ok("One page, the newest first.", list={"jobs": [_JOB], "next": None}),),
        ("provider_busy",),
        parameters=_BEFORE,
    ),
    ("GET", "/jobs/{session}"): DocumentedOperation(
        "getJob",
        "Ask what has become of a file",
        (ok("The job.", queued=_JOB, running=_RUNNING, done=_DONE, failed=_FAILED, cancelled=_CANCELLED),),
        _ERRORS,
    ),
    ("GET", "/jobs/{session}/events"): DocumentedOperation(
        "followJob",
        "Follow a job",
        (
            DocumentedResponse(
                "Server-sent events `job`, each with the job as JSON; they end with the job.",
                200,
                (DocumentedBody(media_type="text/event-stream"),),
            ),
        ),
        _ERRORS,
    ),
    ("DELETE", "/jobs/{session}"): DocumentedOperation(
        "cancelJob",
        "Cancel a job",
        (ok("The job, as it is now.", cancelled=_CANCELLED, done=_DONE, failed=_FAILED),),
        _ERRORS,
    ),
}
