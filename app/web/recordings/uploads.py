"""Resumable uploads: the core of tus 1.0 with its creation and termination extensions, so that tus clients work."""

from contextlib import aclosing
from typing import Annotated, Any

from litestar import Request, Response, delete, patch, post, route
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter

from app.domain.audit import AuditAction
from app.domain.errors import BlobNotFound, ClientError, ClientFault
from app.domain.job import JobState, TranscriptionJob
from app.domain.principal import Principal, Scope
from app.web.auth.audit import audit
from app.web.auth.job_access import job_for
from app.web.auth.middleware import requires
from app.web.errors import TUS_VERSION
from app.web.recordings.access import service_of
from app.web.recordings.receiving import open_upload, require_archive, require_uploads
from app.web.request_body import body_of

VERSION = {"tus-resumable": TUS_VERSION}
PIECE_TYPE = "application/offset+octet-stream"
"""Of the body of PATCH."""
_MAX_DIGITS = 15


@route("/", http_method="OPTIONS", status_code=204, opt=requires(Scope.TRANSCRIBE))
async def upload_capabilities(state: State) -> Response[None]:
    """What a client may use of tus, and how long a file may be."""
    largest = str(require_uploads(state).uploads.limits.largest_file)
    supported = {"tus-version": TUS_VERSION, "tus-extension": "creation,termination", "tus-max-size": largest}
    return Response(None, headers={**VERSION, **supported})


@post("/", status_code=201, opt=requires(Scope.TRANSCRIBE))
async def create_upload(
    state: State,
    request: Request[Principal, Any, Any],
    language: FromQuery[str | None] = None,
    person: FromQuery[str | None] = None,
    key_terms: Annotated[str | None, QueryParameter(name="keyTerms")] = None,
    profile: FromQuery[str | None] = None,
) -> Response[dict[str, str]]:
    """Takes the length of the file (`Upload-Length`); answers with the address to send it to."""
    _require_version(request)
    length = _byte_count(request, "upload-length")
    if length == 0:  # a client would send nothing more
        raise ClientError(ClientFault.BAD_AUDIO, "the file is empty: there is nothing to transcribe")
    service = require_uploads(state)
    require_archive(service, request)
    upload = await open_upload(
        service, request, length=length, language=language, person=person, key_terms=key_terms, profile=profile
    )
    return Response({"id": upload.id}, headers={**VERSION, "location": f"/recordings/uploads/{upload.id}"})


@route("/{name:str}", http_method="HEAD", status_code=200, opt=requires(Scope.TRANSCRIBE))
async def upload_offset(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> Response[None]:
    """How many bytes of it are here (`Upload-Offset`); `Parley-Recording` where it is complete."""
    _require_version(request)
    upload = await job_for(request, service_of(state).jobs, name)
    if upload.length is None or upload.state in (JobState.FAILED, JobState.CANCELLED):
        raise BlobNotFound(name[:64])
    headers = {**_offset(upload), "upload-length": str(upload.length), "cache-control": "no-store"}
    is_accepted = upload.state is not JobState.RECEIVING
    return Response(None, headers=headers | ({"parley-recording": name} if is_accepted else {}))


@patch("/{name:str}", status_code=204, request_max_body_size=None, opt=requires(Scope.TRANSCRIBE))
async def append_to_upload(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> Response[None]:
    """The bytes from `Upload-Offset` on, to any process. With the last one the file waits to be transcribed.

    The recording's id comes back as `Parley-Recording`; `GET /jobs/ID` tells what becomes of it.
    """
    if request.headers.get("content-type", PIECE_TYPE).partition(";")[0].strip().lower() != PIECE_TYPE:
        raise ClientError(ClientFault.UNSUPPORTED_MEDIA_TYPE, f"the body must have the content type {PIECE_TYPE}")
    service, upload = require_uploads(state), await _resumable(state, request, name)
    offset = _byte_count(request, "upload-offset")
    async with service.limits.uploads.slot(), aclosing(body_of(request)) as pieces:
        upload = await service.uploads.append(upload, offset, pieces)
    if upload.state is JobState.RECEIVING:
        return Response(None, headers=_offset(upload))
    audit(request, AuditAction.RECORDING_CREATED, target=upload.id)
    return Response(None, headers={**_offset(upload), "parley-recording": upload.id})


@delete("/{name:str}", status_code=204, opt=requires(Scope.TRANSCRIBE))
async def delete_upload(state: State, request: Request[Principal, Any, Any], name: FromPath[str]) -> None:
    """Discard an unfinished upload (tus termination); one that is complete is deleted as a recording."""
    await service_of(state).uploads.discard(await _resumable(state, request, name))


async def _resumable(state: State, request: Request[Principal, Any, Any], name: str) -> TranscriptionJob:
    """This user's unfinished upload. Raises BlobNotFound; ClientError where it is complete, or for another version."""
    _require_version(request)
    upload = await job_for(request, service_of(state).jobs, name)
    if upload.length is None or upload.state in (JobState.FAILED, JobState.CANCELLED):
        raise BlobNotFound(name[:64])
    if upload.state is not JobState.RECEIVING:
        raise ClientError(ClientFault.BAD_PACKET, "the upload is complete")
    return upload


def _require_version(request: Request[Any, Any, Any]) -> None:
    """Raises ClientError where the client speaks another version of tus; one that names none speaks this one."""
    version = request.headers.get("tus-resumable", TUS_VERSION)
    if version != TUS_VERSION:
        raise ClientError(
            ClientFault.UNSUPPORTED_VERSION, f"this server speaks tus {TUS_VERSION}, and the client {version[:16]!r}"
        )


def _offset(upload: TranscriptionJob) -> dict[str, str]:
    return {**VERSION, "upload-offset": str(upload.received)}


def _byte_count(request: Request[Any, Any, Any], header: str) -> int:
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS):
        raise ClientError(ClientFault.BAD_METADATA, f"the header {header} must be a number of bytes")
    return int(value)
