"""Access to jobs and uploads: those of the tenant, and of one person where a token names one."""

from typing import Any

from litestar import Request

from app.domain.errors import BlobNotFound
from app.domain.job import TranscriptionJob
from app.domain.principal import Principal
from app.runtime.jobs.job_store import JobStore
from app.web.auth.audit import set_owner


async def job_for(request: Request[Principal, Any, Any], jobs: JobStore, session: str) -> TranscriptionJob:
    """The job, also while its file is uploaded. Raises BlobNotFound, also for another tenant's or person's.

    Whoever has no key reaches the jobs of others without one by their ids, which have 74 random bits.
    """
    job = await jobs.get(session)
    if job is None or not request.user.may_control(job.tenant, job.person):
        raise BlobNotFound(session[:64])
    set_owner(request, job.tenant)
    return job
