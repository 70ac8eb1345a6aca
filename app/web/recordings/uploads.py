"""Resumable uploads: the core of tus 1.0 with its creation and termination extensions, so that tus clients work."""

from contextlib import ExitStack
from typing import Any

from litestar import Request, Response, delete, patch, post, route
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State
from litestar.params import FromPath

from app.domain.audit import AuditAction
from app.domain.errors import BlobNotFound, ClientError, ClientFault, ProviderBusy
from app.domain.principal import Principal, Scope
from app.runtime.recording.resumable_uploads import ResumableUploads
from app.web.auth.audit import audit
from app.web.auth.middleware import requires
from app.web.recordings.access import service_of
from app.web.recordings.job import UploadJob, reserve_slot

VERSION = {"tus-resumable": "1.0.0"}
_MAX_DIGITS = 15


@post("/", status_code=201, opt=requires(Scope.TRANSCRIBE))
async def create_upload(state: State, request: Request[Principal, Any, Any]) -> Response[None]:
    """Takes the length of the file (`Upload-Length`); answers with the address to send it to."""
    _require_disk_space(state)
    name = await _uploads(state).create(_byte_count(request, "upload-length"), request.user.tenant.name)
    return Response(None, headers={**VERSION, "location": f"/recordings/uploads/{name}"})


@route("/{name:str}", http_method="HEAD", status_code=200, opt=requires(Scope.TRANSCRIBE))
async def upload_offset(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> Response[None]:
    """How many bytes of it are here (`Upload-Offset`)."""
    offset, length = await _uploads(state, request.user, name).offset(name)
    headers = {"upload-offset": str(offset), "upload-length": str(length), "cache-control": "no-store"}
    return Response(None, headers={**VERSION, **headers})


@patch("/{name:str}", status_code=204, request_max_body_size=None, opt=requires(Scope.TRANSCRIBE))
async def append_to_upload(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> Response[None]:
    """The bytes from `Upload-Offset` on. With the last one the transcription begins.

    The recording's id comes back as `Parley-Recording`.
    """
    service, uploads = service_of(state), _uploads(state, request.user, name)
    _require_disk_space(state)
    is_whole = await uploads.append(name, _byte_count(request, "upload-offset"), request.stream())
    offset, _ = await uploads.offset(name)
    headers = {**VERSION, "upload-offset": str(offset)}
    if not is_whole:
        return Response(None, headers=headers)
    with ExitStack() as resources:
        session = reserve_slot(service, request.user.tenant, resources, advice=", then send an empty PATCH")
        file = resources.enter_context(await uploads.take(name))
        audit(request, AuditAction.RECORDING_CREATED, target=session)
        job = UploadJob(service, session, request.user.tenant, file, None, resources.pop_all())
    return Response(
        None, headers={**headers, "parley-recording": session}, background=BackgroundTask(job.run_unattended)
    )


@delete("/{name:str}", status_code=204, opt=requires(Scope.TRANSCRIBE))
async def delete_upload(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> None:
    """Discard an unfinished upload (tus termination)."""
    await _uploads(state, request.user, name).delete(name)


def _uploads(state: State, user: Principal | None = None, name: str = "") -> ResumableUploads:
    """Raises BlobNotFound where the upload of this name is not this user's."""
    uploads = service_of(state).uploads
    if uploads is None:
        raise ProviderBusy("recordings", "this service takes no resumable uploads")
    if user and uploads.owner(name) != user.tenant.name:
        raise BlobNotFound(name)
    return uploads


def _require_disk_space(state: State) -> None:
    """Unfinished uploads share the disk with the audio of live sessions, and must not take its reserve."""
    if not service_of(state).uploader.has_space:
        raise ProviderBusy("recordings", "the disk is full")


def _byte_count(request: Request[Any, Any, Any], header: str) -> int:
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS):
        raise ClientError(ClientFault.BAD_METADATA, f"the header {header} must be a number of bytes")
    return int(value)
