"""`POST /v1/listen`: a file as Deepgram transcribes it, which is not kept."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import Any

from litestar import Request, Response, post
from litestar.datastructures import State

from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Scope
from app.domain.recording.subtitles import Segment
from app.domain.transcript import join
from app.runtime.ids import new_id
from app.web.auth.middleware import requires
from app.web.deepgram.query import ListenOptions, listen_options
from app.web.deepgram.results import MODEL, MODEL_UUID, alternative, in_seconds
from app.web.deepgram.routes import query_of
from app.web.disconnect import cancel_on_disconnect
from app.web.request_body import body_of
from app.web.transcribed_files import FileReport, FileTranscription

MAX_UPLOAD_BYTES = 25 << 20
CLIENT_CLOSED_REQUEST = 499


@post("/v1/listen", request_max_body_size=MAX_UPLOAD_BYTES, opt=requires(Scope.TRANSCRIBE))
async def listen_file(request: Request[Any, Any, Any], state: State) -> Response[Any]:
    """The body is an audio file of any format FFmpeg reads; links are refused. Any `model` is taken."""
    files: FileTranscription = state.files
    options = listen_options({name: each for name, each in query_of(request).items() if name != "encoding"})
    if request.content_type[0] == "application/json":
        raise ClientError(ClientFault.BAD_MESSAGE, "links are not followed here; send the file itself", param="url")
    files.require_room(request.user)
    with files.held.counted() as hold:
        file = BytesIO()
        async with aclosing(body_of(request)) as pieces:
            async for piece in pieces:
                hold(len(piece))
                file.write(piece)
        body = await cancel_on_disconnect(request, lambda: _transcribed(files, file, options, request))
    headers = {"dg-request-id": body["metadata"]["request_id"]} if body else {}
    return Response(body, status_code=200 if body else CLIENT_CLOSED_REQUEST, headers=headers)


async def _transcribed(
    files: FileTranscription, file: BytesIO, options: ListenOptions, request: Request[Any, Any, Any]
) -> dict[str, Any]:
    report = FileReport(options.language or None)
    async with aclosing(files.segments(file, request.user, report, options.key_terms)) as found:
        segments = [segment async for segment in found]
    return file_answer(segments, report, options, sha256(file.getbuffer()).hexdigest())


def file_answer(segments: Sequence[Segment], report: FileReport, options: ListenOptions, digest: str) -> dict[str, Any]:
    """The whole transcript in one alternative, and where it is asked for a list of utterances."""
    each = [alternative(s.text, s.words, s.start, s.end, confidence=report.confidence) for s in segments]
    words = [word for found in each for word in found["words"]]
    sure = sum(word["confidence"] for word in words) / len(words) if words else 0.0
    whole = {"transcript": join(s.text for s in segments), "confidence": round(sure, 4), "words": words}
    channel: dict[str, Any] = {"alternatives": [whole]}
    if spoken := next((s.language for s in segments if s.language), None):
        channel["detected_language"] = spoken
    results: dict[str, Any] = {"channels": [channel]}
    if options.utterances:
        results["utterances"] = [
            {
                "start": in_seconds(segment.start),
                "end": in_seconds(segment.end),
                "channel": 0,
                "id": new_id(),
                **found,
            }
            for segment, found in zip(segments, each, strict=True)
        ]
    metadata = {
        "transaction_key": "deprecated",
        "request_id": new_id(),
        "sha256": digest,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "duration": in_seconds(report.samples),
        "channels": 1,
        "models": [MODEL_UUID],
        "model_info": {MODEL_UUID: MODEL},
    }
    return {"metadata": metadata, "results": results}
