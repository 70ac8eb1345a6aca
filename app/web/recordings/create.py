"""Recordings made elsewhere: brought as a file or by a link, and written down like a session."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, BinaryIO

import structlog
from anyio import to_thread
from litestar import Request, Response, post
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State
from litestar.params import FromQuery

from app.domain.errors import ClientError, ClientFault, ParleyError, ProviderBusy, ProviderRefused
from app.domain.recording.subtitles import Segment, as_json
from app.domain.tenant import Tenant
from app.runtime.jobs.upload import create_recording
from app.runtime.service import Service, new_session_id
from app.web.recordings.access import service_of

_log = structlog.get_logger("parley.recordings")


@post("/", request_max_body_size=None, status_code=201)
async def create(
    state: State,
    request: Request[Tenant, Any, Any],
    language: FromQuery[str | None] = None,
    wait: FromQuery[bool] = True,
    source: FromQuery[str | None] = None,
) -> Response[dict[str, Any]]:
    """The body is a file of any audio format: it is written down and archived like a session.

    With `source`, a link to a file in Google Drive, it is fetched from there. With
    `wait=false` the answer comes as soon as the file is here.
    """
    service = service_of(state)
    if source is not None and not request.user.operator:
        raise ClientError(ClientFault.FORBIDDEN, "what the service's own account can read is for operators alone")
    if full := refusal(service, request.user):
        raise ProviderBusy("recordings", full)
    session = new_session_id()
    service.admission.sessions[session] = request.user.name
    file = tempfile.TemporaryFile()  # noqa: SIM115 because it outlives this function where nobody waits
    try:
        async with aclosing(_pieces(service, request, source)) as pieces:
            await _receive(pieces, file, service.max_recording_bytes)
    except BaseException:  # because the place is given back whatever happened
        file.close()
        del service.admission.sessions[session]
        raise
    work = partial(transcribe_upload, service, file, session, request.user, language)
    if not wait:
        return Response({"id": session}, status_code=202, background=BackgroundTask(run_unattended, work))
    segments = await work()
    return Response({"id": session, **as_json(segments)})


async def _pieces(service: Service, request: Request[Any, Any, Any], source: str | None) -> AsyncGenerator[bytes, None]:
    if source is None:
        async for piece in request.stream():
            yield piece
    elif service.source is None:
        raise ProviderRefused("google_drive", "no account for Google Drive is set")
    else:
        async with aclosing(service.source.read(source)) as pieces:
            async for piece in pieces:
                yield piece


async def _receive(pieces: AsyncIterable[bytes], file: BinaryIO, limit: int) -> None:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > limit:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {limit >> 20} MB")
        await to_thread.run_sync(file.write, piece)
    await to_thread.run_sync(file.seek, 0)


def refusal(service: Service, tenant: Tenant) -> str | None:
    """Why one more recording cannot be written down now."""
    return (
        "nobody here writes down recordings" if service.batch_transcriber is None else service.admission.refusal(tenant)
    )


async def transcribe_upload(
    service: Service, file: BinaryIO, session: str, tenant: Tenant, language: str | None
) -> list[Segment]:
    uploader, scribe = service.uploader, service.batch_transcriber
    assert scribe is not None
    try:
        return await create_recording(
            file, session=session, tenant=tenant, uploader=uploader, scribe=scribe, language=language
        )
    finally:
        del service.admission.sessions[session]
        file.close()


async def run_unattended(work: Callable[[], Awaitable[list[Segment]]]) -> None:
    try:
        await work()
    except ParleyError as error:
        _log.warning("recording not written down", kind=type(error).__name__, message=str(error))
