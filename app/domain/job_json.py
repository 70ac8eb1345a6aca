"""A job as JSON."""

from datetime import datetime
from typing import Any

from app.domain.job import TranscriptionJob


def job_json(job: TranscriptionJob) -> dict[str, Any]:
    """As `GET /jobs/ID` answers it; null is what is not known or not yet so."""
    return {
        "id": job.id,
        "tenant": job.tenant,
        "person": job.person,
        "state": job.state,
        "source": job.source,
        "conversation": job.conversation or None,
        "language": job.language,
        "bytes": {"received": job.received, "length": job.length},
        "progress": {
            "seconds": round(job.seconds_done, 2),
            "of": None if job.seconds_total is None else round(job.seconds_total, 2),
        },
        "attempts": job.attempts,
        "crashes": job.crashes,
        "code": job.code or None,
        "message": job.message or None,
        "warnings": job.warnings,
        "created": _moment(job.created),
        "updated": _moment(job.updated),
        "finished": job.finished and _moment(job.finished),
    }


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
