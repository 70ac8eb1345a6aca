"""`POST /recordings`: transcribe and archive a file that is the request's body, or that a link leads to."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import ExitStack, aclosing
from typing import Any, BinaryIO

from anyio import to_thread
from litestar import Request, Response, post
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State
from litestar.params import FromQuery

from app.domain.audit import AuditAction
from app.domain.disk_errors import translate_disk_errors
from app.domain.errors import ClientError, ClientFault, ProviderRefused
from app.domain.principal import Principal, Scope
from app.domain.recording.subtitles import as_json
from app.runtime.service import Service
from app.web.auth.audit import audit
from app.web.auth.middleware import requires
from app.web.recordings.access import service_of
from app.web.recordings.job import UploadJob, require_slot, reserve_slot

_FORM = "multipart/form-data"


@post("/", request_max_body_size=None, status_code=201, opt=requires(Scope.TRANSCRIBE))
async def create(
    state: State,
    request: Request[Principal, Any, Any],
    language: FromQuery[str | None] = None,
    wait: FromQuery[bool] = True,
    source: FromQuery[str | None] = None,
) -> Response[dict[str, Any]]:
    """The body is a file of any audio format: it is transcribed and archived like a session.

    With `source`, a link to a file in Google Drive, it is fetched from there. With
    `wait=false` the answer comes as soon as the file is here.
    """
    service = service_of(state)
    if source is not None and not request.user.is_admin:
        raise ClientError(ClientFault.FORBIDDEN, "only operators may fetch with the service's own account")
    if source is None and request.content_type[0] == _FORM:
        raise ClientError(
            ClientFault.BAD_AUDIO, "the body must be the bytes of the file, not a form: curl --data-binary @FILE"
        )
    require_slot(service, request.user.tenant)
    with ExitStack() as resources:
        async with service.limits.uploads.slot(), aclosing(_body(service, request, source)) as pieces:
            with translate_disk_errors("recordings"):
                file = resources.enter_context(tempfile.TemporaryFile())
            await _receive(pieces, file, service.max_recording_bytes)
        session = reserve_slot(service, request.user.tenant, resources)
        audit(request, AuditAction.RECORDING_CREATED, target=session)
        job = UploadJob(service, session, request.user.tenant, file, language, resources.pop_all())
    if not wait:
        return Response({"id": session}, status_code=202, background=BackgroundTask(job.run_unattended))
    transcribed = await job.run()
    return Response({"id": session, **as_json(transcribed.segments), "warnings": transcribed.warnings})


async def _body(service: Service, request: Request[Any, Any, Any], source: str | None) -> AsyncGenerator[bytes, None]:
    if source is None:
        async for piece in request.stream():
            yield piece
    elif service.source is None:
        raise ProviderRefused("google_drive", "no account for Google Drive is set")
    else:
        async with aclosing(service.source.read(source)) as pieces:
            async for piece in pieces:
                yield piece


async def _receive(pieces: AsyncIterable[bytes], file: BinaryIO, max_bytes: int) -> None:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {max_bytes >> 20} MB")
        with translate_disk_errors("recordings"):
            await to_thread.run_sync(file.write, piece)
    with translate_disk_errors("recordings"):  # what was buffered is written now
        await to_thread.run_sync(file.seek, 0)
