"""Uploads that can be resumed: the core of tus 1.0 with creation and termination, so that its clients are ours."""

from functools import partial
from typing import Any

from anyio import to_thread
from litestar import Request, Response, delete, patch, post, route
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State
from litestar.params import FromPath

from app.domain.errors import BlobNotFound, ClientError, ClientFault, ProviderBusy
from app.domain.tenant import Tenant
from app.runtime.recording.resumable_uploads import ResumableUploads
from app.runtime.service import new_session_id
from app.web.recordings.access import service_of
from app.web.recordings.create import refusal, run_unattended, transcribe_upload

VERSION = {"tus-resumable": "1.0.0"}


@post("/", status_code=201)
async def begin(state: State, request: Request[Tenant, Any, Any]) -> Response[None]:
    """Say how long the file is (`Upload-Length`); the address to send it to comes back."""
    name = await _files(state).begin(_number(request, "upload-length"), request.user.name)
    return Response(None, headers={**VERSION, "location": f"/recordings/uploads/{name}"})


@route("/{name:str}", http_method="HEAD", status_code=200)
async def offset(state: State, request: Request[Tenant, Any, Any], name: FromPath[str]) -> Response[None]:
    """How many bytes of it are here (`Upload-Offset`)."""
    here, length = await _files(state, request.user, name).offset(name)
    told = {"upload-offset": str(here), "upload-length": str(length), "cache-control": "no-store"}
    return Response(None, headers={**VERSION, **told})


@patch("/{name:str}", status_code=204, request_max_body_size=None)
async def append(state: State, request: Request[Tenant, Any, Any], name: FromPath[str]) -> Response[None]:
    """The bytes from `Upload-Offset` on. With the last one the recording begins to be written down.

    Its id comes back as `Parley-Recording`.
    """
    service, files = service_of(state), _files(state, request.user, name)
    at = _number(request, "upload-offset")
    whole = await files.append(name, at, request.stream())
    here, _ = await files.offset(name)
    headers = {**VERSION, "upload-offset": str(here)}
    if not whole:
        return Response(None, headers=headers)
    if full := refusal(service, request.user):
        raise ProviderBusy("recordings", f"{full}, then send an empty PATCH")
    session = new_session_id()
    service.admission.sessions[session] = request.user.name
    file = await to_thread.run_sync(files.path(name).open, "rb")
    await files.drop(name)  # the open file is all that is needed
    work = partial(transcribe_upload, service, file, session, request.user, None)
    return Response(
        None, headers={**headers, "parley-recording": session}, background=BackgroundTask(run_unattended, work)
    )


@delete("/{name:str}", status_code=204)
async def drop(state: State, request: Request[Tenant, Any, Any], name: FromPath[str]) -> None:
    """Let it be."""
    await _files(state, request.user, name).drop(name)


def _files(state: State, user: Tenant | None = None, name: str = "") -> ResumableUploads:
    """Raises BlobNotFound where the upload of this name is not this user's."""
    files = service_of(state).uploads
    if files is None:
        raise ProviderBusy("recordings", "this service takes no resumable uploads")
    if user and files.owner(name) != user.name:
        raise BlobNotFound(name)
    return files


def _number(request: Request[Any, Any, Any], header: str) -> int:
    value = request.headers.get(header, "")
    if not value.isdecimal():
        raise ClientError(ClientFault.BAD_METADATA, f"the header {header} must be a number of bytes")
    return int(value)
