"""`POST /recordings`: transcribe and archive a file that is the request's body, or that a link leads to."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import anyio
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromQuery

from app.domain.audit import AuditAction
from app.domain.errors import ClientError, ClientFault, NoCapacity, ParleyError, ProviderBusy, ProviderRefused
from app.domain.principal import Principal, Scope
from app.domain.recording.subtitles import as_json
from app.domain.tenant import Tenant
from app.runtime.recording.file_upload import FileUpload
from app.runtime.service import Service
from app.web.auth.audit import audit
from app.web.auth.middleware import requires
from app.web.recordings.receiving import open_upload, require_archive, require_uploads
from app.web.request_body import body_of

_FORM = "multipart/form-data"
DISCARD_TIMEOUT_S = 5.0
"""How long the end of a request waits for the store to delete; what stays then is deleted by the next sweep."""


@post("/", request_max_body_size=None, status_code=201, opt=requires(Scope.TRANSCRIBE))
async def create(
    state: State,
    request: Request[Principal, Any, Any],
    language: FromQuery[str | None] = None,
    wait: FromQuery[bool] = True,
    source: FromQuery[str | None] = None,
    person: FromQuery[str | None] = None,
) -> Response[dict[str, Any]]:
    """The body is a file of any audio format: it is transcribed and archived like a session.

    With `source`, a link to a file in Google Drive, it is fetched from there. With `wait=false` the answer comes as
    soon as the file is on the disk; `GET /recordings/jobs/ID` tells what becomes of it. No session slot is taken
    before the file is here.
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
    upload = await open_upload(service, request, length=None, language=language, person=person)
    try:
        async with service.limits.uploads.slot(), aclosing(_body(service, request, source)) as pieces:
            await service.uploads.append(upload, 0, pieces)
        audit(request, AuditAction.RECORDING_CREATED, target=upload.session)
        if not wait:
            await service.uploads.accept(upload)
            where = f"/recordings/jobs/{upload.session}"
            return Response({"id": upload.session}, status_code=202, headers={"location": where})
        return Response(await _transcribe(service, upload, request.user.tenant))
    except BaseException:  # because nobody was promised anything
        with anyio.move_on_after(DISCARD_TIMEOUT_S, shield=True), suppress(ParleyError):
            await service.uploads.discard(upload)
        raise


async def _transcribe(service: Service, upload: FileUpload, tenant: Tenant) -> dict[str, Any]:
    """Raises ProviderBusy where the tenant has no session slot, and what transcribe_upload() raises."""
    warnings: list[str] = []
    try:
        with service.admission.admitted(upload.session, tenant):
            upload.is_running = True
            segments = await service.transcribe_upload(upload, tenant, warnings)
    except NoCapacity as error:
        raise ProviderBusy("recordings", str(error)) from error
    finally:
        upload.is_running = False
    return {"id": upload.session, **as_json(segments), "warnings": warnings}


async def _body(service: Service, request: Request[Any, Any, Any], source: str | None) -> AsyncGenerator[bytes, None]:
    pieces: AsyncIterator[bytes]
    if source is None:
        pieces = body_of(request)
    elif service.source is None:
        raise ProviderRefused("google_drive", "no account for Google Drive is set")
    else:
        pieces = service.source.read(source)
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece
