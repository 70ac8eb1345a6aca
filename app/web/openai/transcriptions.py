"""The local engine behind OpenAI's `POST /v1/audio/transcriptions`: one process of `parley worker`.

It keeps nothing between two requests, so any number of workers stand behind any balancer.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from io import BytesIO
from typing import Annotated, Any, Literal, TypeVar

import anyio
import msgspec
from anyio import to_thread
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State, UploadFile
from litestar.enums import MediaType, RequestEncodingType
from litestar.exceptions import HTTPException
from litestar.params import Body

from app.domain.audio import SAMPLE_RATE, AudioChunk, ms, seconds, split_audio
from app.domain.errors import ClientError, ParleyError, ProviderBusy, ProviderRefused
from app.domain.recording.subtitles import Segment, as_json, as_srt, as_text, as_vtt
from app.domain.transcript import Hypothesis
from app.media.decode import decode
from app.runtime.jobs.batch_transcription import transcribe_recording
from app.runtime.worker import Worker

LARGEST = 25 << 20
"""Bytes of one upload; OpenAI's own limit."""

UTTERANCE = 29 * SAMPLE_RATE
"""Longer audio is cut where people pause; what is shorter is one utterance, and goes to the model as it is."""

_PIECE = ms(90)

Form = Literal["json", "text", "srt", "verbose_json", "vtt"]
T = TypeVar("T")


class TranscriptionForm(msgspec.Struct):
    """The form of OpenAI's endpoint; fields this service has no use for are taken and ignored."""

    file: Any
    model: str = ""
    language: str = ""
    prompt: str = ""
    response_format: Form = "json"
    temperature: str = ""
    stream: str = ""


@post("/v1/audio/transcriptions", request_max_body_size=LARGEST + (64 << 10))
async def transcriptions(
    request: Request[Any, Any, Any],
    state: State,
    data: Annotated[TranscriptionForm, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> Response[Any]:
    """Words of an audio file of any format FFmpeg reads."""
    if not isinstance(data.file, UploadFile):
        raise HTTPException("file must be an upload", status_code=400)
    worker: Worker = state.worker
    sound = await data.file.read()
    pcm = await to_thread.run_sync(lambda: b"".join(decode(BytesIO(sound))))
    answer = await _unless_gone(request, lambda: _listen(worker, pcm, data))
    return Response(None, status_code=499) if answer is None else answer


async def _listen(worker: Worker, pcm: bytes, upload: TranscriptionForm) -> Response[Any]:
    audio = AudioChunk(pcm, 0)
    language = upload.language or worker.language
    async with worker.queue.place():
        if audio.samples <= UTTERANCE:
            final = await _final(worker, audio, language)
            segments = [Segment(0, audio.end, final.text, final.language)] if final.text else []
        else:
            final = None
            found = transcribe_recording(
                _once(audio), detector=worker.detector, transcriber=worker.transcriber, language=language
            )
            async with aclosing(found):
                segments = [segment async for segment in found]
    return _formed(segments, upload.response_format, audio, language, final.confidence if final else None)


async def _final(worker: Worker, audio: AudioChunk, language: str | None) -> Hypothesis:
    async with aclosing(worker.transcriber.transcribe(_once(audio), language=language)) as hypotheses:
        return [h async for h in hypotheses if h.is_final][-1]


def _formed(
    segments: Sequence[Segment], form: Form, audio: AudioChunk, language: str | None, confidence: float | None
) -> Response[Any]:
    match form:
        case "text":
            return Response(as_text(segments), status_code=200, media_type=MediaType.TEXT)
        case "srt":
            return Response(as_srt(segments), status_code=200, media_type=MediaType.TEXT)
        case "vtt":
            return Response(as_vtt(segments), status_code=200, media_type="text/vtt; charset=utf-8")
        case "json":
            sure = {} if confidence is None else {"confidence": confidence}
            return Response({"text": as_text(segments).strip(), **sure}, status_code=200)
        case "verbose_json":
            spoken = language or next((s.language for s in segments if s.language), "")
            more = {"task": "transcribe", "language": spoken, "duration": round(seconds(audio.samples), 3)}
            words = as_json(segments)
            numbered = [{"id": n, **segment} for n, segment in enumerate(words["segments"])]
            return Response({**more, "text": words["text"], "segments": numbered}, status_code=200)


@get("/v1/models")
async def models(state: State) -> dict[str, Any]:
    """The one model, as OpenAI's clients like to ask."""
    worker: Worker = state.worker
    return {"object": "list", "data": [{"id": worker.model, "object": "model", "owned_by": "parley"}]}


@get("/health")
async def health(state: State) -> dict[str, Any]:
    """How busy this worker is: what a balancer and a gateway want to know."""
    worker: Worker = state.worker
    queue = worker.queue
    return {
        "status": "full" if queue.is_full else "ok",
        "model": worker.model,
        "queue": queue.inside,
        "atOnce": queue.at_once,
        "p50Ms": queue.latencies.percentile(0.5),
        "p95Ms": queue.latencies.percentile(0.95),
    }


def create_worker(worker: Worker) -> Litestar:
    """The application of this worker, which is open as long as it runs."""
    return Litestar(
        [transcriptions, models, health],
        state=State({"worker": worker}),
        openapi_config=None,
        logging_config=None,
        exception_handlers={ParleyError: _refuse, HTTPException: _refuse},
    )


def _refuse(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Our errors in the form that OpenAI's clients read."""
    headers: dict[str, str] = {}
    match error:
        case ProviderBusy():
            worker: Worker = request.app.state.worker
            status, code, headers = 503, error.code, {"Retry-After": str(worker.queue.retry_after_s)}
        case ClientError() | ProviderRefused():
            status, code = 400, str(error.code)
        case HTTPException():
            status, code = error.status_code, "invalid_request"
        case _:
            status, code = 500, "internal_error"
    words = error.detail if isinstance(error, HTTPException) else str(error)
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": words, "type": kind, "code": code, "param": None}}
    return Response(body, status_code=status, headers=headers)


async def _unless_gone(request: Request[Any, Any, Any], work: Callable[[], Awaitable[T]]) -> T | None:
    """What the work gives; it is dropped, and None given, when the client has hung up."""
    answer: list[T] = []
    failure: list[ParleyError] = []
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            answer.append(await work())
        except ParleyError as error:  # because a task group would wrap it
            failure.append(error)
        tasks.cancel_scope.cancel()
    if failure:
        raise failure[0]
    return answer[0] if answer else None


async def _once(audio: AudioChunk) -> AsyncGenerator[AudioChunk, None]:
    for chunk in split_audio(audio, _PIECE):
        yield chunk
