"""Resumable uploads: the core of tus 1.0 with its creation and termination extensions, so that tus clients work."""

from contextlib import aclosing
from typing import Any

from litestar import Request, Response, delete, patch, post, route
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from app.domain.audit import AuditAction
from app.domain.errors import BlobNotFound, ClientError, ClientFault
from app.domain.principal import Principal, Scope
from app.runtime.recording.file_upload import FileUpload
from app.web.auth.audit import audit
from app.web.auth.middleware import requires
from app.web.recordings.access import service_of
from app.web.recordings.receiving import open_upload, require_archive, require_uploads
from app.web.request_body import body_of

VERSION = {"tus-resumable": "1.0.0"}
_MAX_DIGITS = 15


@post("/", status_code=201, opt=requires(Scope.TRANSCRIBE))
async def create_upload(
    state: State,
    request: Request[Principal, Any, Any],
    language: FromQuery[str | None] = None,
    person: FromQuery[str | None] = None,
) -> Response[None]:
    """Takes the length of the file (`Upload-Length`); answers with the address to send it to."""
    length = _byte_count(request, "upload-length")
    service = require_uploads(state)
    require_archive(service, request)
    upload = await open_upload(service, request, length=length, language=language, person=person)
    return Response(None, headers={**VERSION, "location": f"/recordings/uploads/{upload.session}"})


@route("/{name:str}", http_method="HEAD", status_code=200, opt=requires(Scope.TRANSCRIBE))
async def upload_offset(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> Response[None]:
    """How many bytes of it are here (`Upload-Offset`); `Parley-Recording` where it is complete."""
    upload = service_of(state).uploads.get(name, request.user.tenant.name)
    if upload.opened.length is None or upload.failure is not None:
        raise BlobNotFound(name)
    headers = {**_offset(upload), "upload-length": str(upload.opened.length), "cache-control": "no-store"}
    return Response(None, headers=headers | ({"parley-recording": name} if upload.is_accepted else {}))


@patch("/{name:str}", status_code=204, request_max_body_size=None, opt=requires(Scope.TRANSCRIBE))
async def append_to_upload(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> Response[None]:
    """The bytes from `Upload-Offset` on. With the last one the file waits to be transcribed.

    The recording's id comes back as `Parley-Recording`; `GET /recordings/jobs/ID` tells what becomes of it.
    """
    service, upload = require_uploads(state), _resumable(state, request, name)
    offset = _byte_count(request, "upload-offset")
    async with service.limits.uploads.slot(), aclosing(body_of(request)) as pieces:
        is_whole = await service.uploads.append(upload, offset, pieces)
    if not is_whole:
        return Response(None, headers=_offset(upload))
    await service.uploads.accept(upload)
    audit(request, AuditAction.RECORDING_CREATED, target=upload.session)
    return Response(None, headers={**_offset(upload), "parley-recording": upload.session})


@delete("/{name:str}", status_code=204, opt=requires(Scope.TRANSCRIBE))
async def delete_upload(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> None:
    """Discard an unfinished upload (tus termination); one that is complete is deleted as a recording."""
    await service_of(state).uploads.discard(_resumable(state, request, name))


def _resumable(state: State, request: Request[Principal, Any, Any], name: str) -> FileUpload:
    """This user's unfinished upload. Raises BlobNotFound; ClientError where it is complete."""
    upload = service_of(state).uploads.get(name, request.user.tenant.name)
    if upload.is_accepted:
        raise ClientError(ClientFault.BAD_PACKET, "the upload is complete")
    if not upload.is_resumable:
        raise BlobNotFound(name)
    return upload


def _offset(upload: FileUpload) -> dict[str, str]:
    return {**VERSION, "upload-offset": str(upload.received)}


def _byte_count(request: Request[Any, Any, Any], header: str) -> int:
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS):
        raise ClientError(ClientFault.BAD_METADATA, f"the header {header} must be a number of bytes")
    return int(value)
