"""`POST /recordings`: transcribe and archive a file that is the request's body, or that a link leads to."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from app.domain.audit import AuditAction
from app.domain.errors import (
    ClientError,
    ClientFault,
    NoCapacity,
    ParleyError,
    ProviderBusy,
)
from app.domain.job import JobSource
from app.domain.principal import Principal, Scope
from app.domain.recording.subtitles import as_json
from app.domain.tenant import Tenant
from app.runtime.jobs.job_lease import JobLease
from app.runtime.service import Service
from app.web.auth.audit import audit
from app.web.auth.middleware import requires
from app.web.disconnect import cancel_on_disconnect
from app.web.recordings.receiving import open_upload, require_archive, require_uploads
from app.web.request_body import body_of

_FORM = "multipart/form-data"


@post("/", request_max_body_size=None, status_code=201, opt=requires(Scope.TRANSCRIBE))
async def create(
    state: State,
    request: Request[Principal, Any, Any],
    language: FromQuery[str | None] = None,
    wait: FromQuery[bool] = True,
    source: FromQuery[str | None] = None,
    person: FromQuery[str | None] = None,
    key_terms: Annotated[str | None, QueryParameter(name="keyTerms")] = None,
    profile: FromQuery[str | None] = None,
) -> Response[dict[str, Any]]:
    """The body is a file of any audio format: it is transcribed and archived like a session.

    With `source`, a link to a file in Google Drive, it is fetched from there. With `wait=false` the answer comes as
    soon as the file is stored; `GET /jobs/ID` tells what becomes of it. No session slot is taken
    before the file is here. Where the client hangs up while it waits, the job ends and nothing of it stays.
    """
    service = require_uploads(state)
    if source is not None and not request.user.is_admin:
        raise ClientError(ClientFault.FORBIDDEN, "only operators may fetch with the service's own account")
    if source is None and request.content_type[0] == _FORM:
        raise ClientError(
            ClientFault.BAD_AUDIO, "the body must be the bytes of the file, not a form: curl --data-binary @FILE"
        )
    if not wait:
        require_archive(service, request)
    elif refusal := service.admission.refusal(request.user.tenant):
        raise ProviderBusy("recordings", refusal)
    origin = JobSource.UPLOAD if source is None else JobSource.LINK
    job = await open_upload(
        service,
        request,
        length=None,
        language=language,
        person=person,
        key_terms=key_terms,
        profile=profile,
        source=origin,
    )
    lease = JobLease(service.uploads, job)
    async with lease.kept_or_discarded():
        async with service.limits.uploads.slot(), aclosing(_body(service, request, source)) as pieces:
            await service.uploads.append(job, 0, pieces)
        audit(request, AuditAction.RECORDING_CREATED, target=job.id)
        if not wait:
            await lease.change(lambda each: each.accept(service.uploads.now()))
            service.uploads.notify()
            where = f"/recordings/jobs/{job.id}"
            return Response({"id": job.id}, status_code=202, headers={"location": where})
        return Response(await _transcribe_for(request, service, lease))


async def _transcribe_for(request: Request[Principal, Any, Any], service: Service, lease: JobLease) -> dict[str, Any]:
    """While the client waits. Raises ClientError where it hung up, and what _transcribe() raises."""
    found = await cancel_on_disconnect(request, lambda: _transcribe(service, lease, request.user.tenant))
    if found is None:
        raise ClientError(ClientFault.BAD_MESSAGE, "the connection broke off before the file was transcribed")
    return found


async def _transcribe(service: Service, lease: JobLease, tenant: Tenant) -> dict[str, Any]:
    """Raises ProviderBusy where the tenant has no session slot, and what transcribe_upload() raises."""
    job, now = lease.job.id, service.uploads.now
    try:
        with service.admission.admitted(job, tenant):
            await lease.change(lambda each: each.start(lease.job.fence, now()))
            segments = await service.transcribe_upload(lease, tenant)
            await lease.change(lambda each: each.complete(lease.job.fence, now(), lease.warnings, lease.seconds_done))
    except NoCapacity as error:
        raise ProviderBusy("recordings", str(error)) from error
    with suppress(ParleyError):  # a sweep removes the file later
        await service.uploads.clear(lease.job)
    return {"id": job, **as_json(segments), "warnings": lease.warnings}


async def _body(service: Service, request: Request[Any, Any, Any], source: str | None) -> AsyncGenerator[bytes, None]:
    pieces = body_of(request) if source is None else service.linked_file(source)
    is_empty = True
    async with aclosing(pieces):
        async for piece in pieces:
            is_empty = is_empty and not piece
            yield piece
    if is_empty:
        raise ClientError(ClientFault.BAD_AUDIO, "the file is empty: there is nothing to transcribe")
