"""`POST /v1/audio/transcriptions` and `/v1/audio/translations`, as OpenAI has them, on a gateway and on a worker."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from io import BytesIO
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State

from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Scope
from app.domain.recording.subtitles import Segment
from app.json_input import decode_json
from app.web.auth.middleware import requires
from app.web.disconnect import cancel_on_disconnect
from app.web.event_stream import DONE, EVENT_STREAM, HEARTBEAT, LateStartResponse, event
from app.web.openai.form import FILE, TranscriptionForm, form_of, read_form
from app.web.openai.late_error import error_event
from app.web.openai.transcript import delta_event, done_event, speaker_segment, transcript_body
from app.web.request_body import body_of
from app.web.transcribed_files import FileReport, FileTranscription

MAX_UPLOAD_BYTES = 25 << 20
"""OpenAI's own limit."""
_OTHER_FIELDS = 64 << 10

CLIENT_CLOSED_REQUEST = 499
"""NGINX's status for a client that hung up; nobody reads it."""

_MAX_JSON_BYTES = MAX_UPLOAD_BYTES // 3 * 4 + _OTHER_FIELDS
_json = msgspec.json.Decoder(dict[str, Any])


@post("/v1/audio/transcriptions", request_max_body_size=_MAX_JSON_BYTES, opt=requires(Scope.TRANSCRIBE))
async def transcriptions(request: Request[Any, Any, Any], state: State) -> Response[Any]:
    """The transcript of an audio file of any format FFmpeg reads, which is not kept.

    The body is OpenAI's form with the part `file`, or JSON with the file in base64 as `input_audio`. With `stream` the
    answer is server-sent events, a delta for each segment, whatever the model. Any `model` is taken.
    """
    files: FileTranscription = state.files
    files.require_room(request.user)  # before megabytes are read that nobody will listen to
    with files.held.counted() as hold:
        is_json = request.content_type[0] == "application/json"
        file, form = await (_read_json(request, hold) if is_json else read_form(request, hold, MAX_UPLOAD_BYTES))
        if form.stream:
            return _streamed(files, file, form, request)
        response = await cancel_on_disconnect(request, lambda: _whole(files, file, form, request))
    return response or Response(None, status_code=CLIENT_CLOSED_REQUEST)


@post("/v1/audio/translations", request_max_body_size=MAX_UPLOAD_BYTES + _OTHER_FIELDS, opt=requires(Scope.TRANSCRIBE))
async def translations() -> None:
    """No engine here translates: always an error that names the field `model`."""
    reason = "no model of this server translates; /v1/audio/transcriptions gives the text in the language spoken"
    raise ClientError(ClientFault.BAD_MESSAGE, reason, param="model")


async def _whole(
    files: FileTranscription, file: BytesIO, form: TranscriptionForm, request: Request[Any, Any, Any]
) -> Response[Any]:
    report = FileReport(form.allowed_languages, form.response_format == "diarized_json")
    async with aclosing(files.segments(file, request.user, report, form.key_terms)) as found:
        segments = [segment async for segment in found]
    body, media_type = transcript_body(segments, report, form)
    return Response(body, status_code=200, media_type=media_type)


def _streamed(
    files: FileTranscription, file: BytesIO, form: TranscriptionForm, request: Request[Any, Any, Any]
) -> LateStartResponse:
    events = _events(files, file, form, request)
    return LateStartResponse(events, media_type=EVENT_STREAM, heartbeat=HEARTBEAT, late_error=error_event)


async def _events(
    files: FileTranscription, file: BytesIO, form: TranscriptionForm, request: Request[Any, Any, Any]
) -> AsyncGenerator[bytes, None]:
    report = FileReport(form.allowed_languages, form.response_format == "diarized_json")
    segments: list[Segment] = []
    with files.held.counted() as hold:
        hold(len(file.getbuffer()))
        async with aclosing(files.segments(file, request.user, report, form.key_terms)) as found:
            async for segment in found:
                if form.response_format == "diarized_json":
                    yield event(speaker_segment(len(segments), segment))
                yield event(delta_event(len(segments), segment))
                segments.append(segment)
    yield event(done_event(segments, report))
    yield DONE


async def _read_json(request: Request[Any, Any, Any], hold: Any) -> tuple[BytesIO, TranscriptionForm]:
    """Raises ClientError, or HTTPException (413)."""
    body = bytearray()
    async with aclosing(body_of(request)) as pieces:
        async for piece in pieces:
            hold(len(piece))
            body += piece
    try:
        fields = decode_json(bytes(body), _json)
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"the body cannot be read: {error}") from error
    match fields.pop("input_audio", None):
        case {"data": str(data)}:
            try:
                return BytesIO(base64.b64decode(data, validate=True)), form_of(fields)
            except ValueError as error:  # also where a character is not ASCII
                reason = "input_audio.data is not base64"
                raise ClientError(ClientFault.BAD_MESSAGE, reason, param="input_audio.data") from error
        case _:
            reason = "the body must be a form with a file, or JSON with input_audio: {data, format}"
            raise ClientError(ClientFault.BAD_MESSAGE, reason, param=FILE)
