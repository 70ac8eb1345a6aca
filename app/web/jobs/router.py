"""`/jobs`: list, ask after, follow and cancel transcription jobs, on whichever process they run."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any, Literal

from litestar import Request, Router, delete, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from app.domain.audit import AuditAction
from app.domain.errors import ProviderBusy
from app.domain.job import JobState
from app.domain.job_json import job_json
from app.domain.principal import Principal, Scope
from app.runtime.service import Service
from app.web.auth.audit import audit
from app.web.auth.job_access import job_for
from app.web.auth.middleware import requires
from app.web.auth.rate_limit import network_of
from app.web.http import STOPPING
from app.web.jobs.job_events import JobEvents
from app.web.query_values import parse_id_cursor

StateName = Literal["receiving", "queued", "running", "done", "failed", "cancelled"]


@get("/", opt=requires(Scope.TRANSCRIBE))
async def list_jobs(
    state: State,
    request: Request[Principal, Any, Any],
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    before: FromQuery[str | None] = None,
    only: Annotated[StateName | None, QueryParameter(name="state")] = None,
    tenant: FromQuery[str | None] = None,
) -> dict[str, Any]:
    """The newest first; `next` is the `before` of the next page. An operator sees those of all tenants, or of one.

    A token that names a person sees that person's; who has no key sees none, because its tenant is everybody's.
    """
    user = request.user
    if user.is_stranger or not (user.is_admin or tenant in (None, user.tenant.name)):
        return {"jobs": [], "next": None}
    found = await _service(state).jobs.find(
        tenant=tenant if user.is_admin else user.tenant.name,
        person=user.person,
        state=only and JobState(only),
        before=None if before is None else parse_id_cursor(before),
        limit=limit,
    )
    return {"jobs": [job_json(job) for job in found], "next": found[-1].id if len(found) == limit else None}


@get("/{session:str}", opt=requires(Scope.TRANSCRIBE))
async def get_job(state: State, request: Request[Principal, Any, Any], session: FromPath[str]) -> dict[str, Any]:
    """Its state, progress, and the reason of a failure. Kept for a week behind its end."""
    return job_json(await job_for(request, _service(state).jobs, session))


@get("/{session:str}/events", opt=requires(Scope.TRANSCRIBE))
async def follow_job(state: State, request: Request[Principal, Any, Any], session: FromPath[str]) -> ServerSentEvent:
    """Server-sent events: the job as JSON, now and after each change. They end with the job, or the client's key."""
    service, followers = _service(state), _service(state).limits.followers
    job = await job_for(request, service.jobs, session)
    app_state, client = request.app.state, (request.user.tenant.name, network_of(request))
    followers.require_place(*client)
    events = JobEvents(
        service.jobs,
        is_stopping=lambda: service.admission.is_draining or app_state.get(STOPPING, False),
        is_permitted=lambda: service.authenticator.is_valid(request.user),
    )

    async def messages() -> AsyncGenerator[ServerSentEventMessage, None]:
        with suppress(ProviderBusy), followers.place(*client):  # another one came first: the client asks again
            async with aclosing(events.follow(job)) as following:
                async for message in following:
                    yield message

    return ServerSentEvent(messages(), headers={"cache-control": "no-store", "x-accel-buffering": "no"})


@delete("/{session:str}", status_code=200, opt=requires(Scope.TRANSCRIBE))
async def cancel_job(state: State, request: Request[Principal, Any, Any], session: FromPath[str]) -> dict[str, Any]:
    """Cancel it, also while it runs: its file and its recording are deleted. One that is over stays as it is."""
    service = _service(state)
    job = await job_for(request, service.jobs, session)
    cancelled = await service.uploads.cancel(job.id)
    if not job.is_finished:
        audit(request, AuditAction.JOB_CANCELLED, target=job.id)
    return job_json(cancelled)


def _service(state: State) -> Service:
    service: Service = state.service
    return service


router = Router("/jobs", route_handlers=[list_jobs, get_job, follow_job, cancel_job])
