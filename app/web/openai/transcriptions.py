"""The worker's application: the local engine behind OpenAI's `POST /v1/audio/transcriptions`.

It keeps nothing between two requests, so any number of workers stand behind any balancer.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.enums import MediaType

from app.domain.audio import SAMPLE_RATE, AudioChunk, ms, seconds
from app.domain.key_terms import key_terms_in
from app.domain.language import parse_languages
from app.domain.ports import Transcriber, expecting
from app.domain.principal import Scope
from app.domain.recording.subtitles import Segment, as_json, as_srt, as_text, as_vtt, words_as_json
from app.domain.transcript import Hypothesis
from app.runtime.first_final import first_final
from app.runtime.jobs.batch_transcription import transcribe_recording
from app.runtime.worker import Worker
from app.web.auth.middleware import ANYONE, AuthMiddleware, requires
from app.web.disconnect import cancel_on_disconnect
from app.web.errors import handle_http_error
from app.web.liveness import live
from app.web.openai.form import TranscriptionForm, read_form
from app.web.text_fields import QueryMiddleware

MAX_UPLOAD_BYTES = 25 << 20
"""OpenAI's own limit."""

MAX_UTTERANCE_SAMPLES = 29 * SAMPLE_RATE
"""Longer audio is cut at pauses; what is shorter is one utterance, and goes to the model as a whole."""

CLIENT_CLOSED_REQUEST = 499
"""NGINX's status for a client that hung up; nobody reads it."""

_CHUNK_SAMPLES = ms(90)

T = TypeVar("T")


@post(
    "/v1/audio/transcriptions",
    request_max_body_size=MAX_UPLOAD_BYTES + (64 << 10),
    opt=requires(Scope.TRANSCRIBE),
)
async def transcriptions(request: Request[Any, Any, Any], state: State) -> Response[Any]:
    """The transcript of an audio file of any format FFmpeg reads. Answers 503 where the queue is full."""
    worker: Worker = state.worker
    worker.queue.require_room()  # before megabytes are read that nobody will listen to
    with worker.held.counted() as hold:
        file, form = await read_form(request, hold)
        response = await cancel_on_disconnect(request, lambda: _transcribe(worker, file, form))
    return response or Response(None, status_code=CLIENT_CLOSED_REQUEST)


async def _transcribe(worker: Worker, file: BytesIO, form: TranscriptionForm) -> Response[Any]:
    """Decode and transcribe in one slot of the queue, piece by piece: of long audio one segment is in memory."""
    language = parse_languages(form.language.split(",")) or worker.language
    key_terms = key_terms_in(form.prompt)
    confidence: float | None = None
    warnings: list[str] = []
    async with (
        worker.queue.slot(),
        aclosing(worker.decoder.decode(file, on_warning=warnings.append)) as decoded,
        aclosing(_split(decoded)) as chunks,
    ):
        audio = _Counted(chunks)
        beginning = await audio.until(MAX_UTTERANCE_SAMPLES)
        if audio.samples <= MAX_UTTERANCE_SAMPLES:
            final = await _final(expecting(worker.transcriber, key_terms), beginning, language)
            confidence = final.confidence
            whole = Segment(0, audio.samples, final.text, final.language, final.words)
            segments = [whole] if final.text else []
        else:
            found = transcribe_recording(
                audio.from_start(beginning),
                detector=worker.detector,
                transcriber=expecting(worker.batch_transcriber, key_terms),
                language=language,
            )
            async with aclosing(found):
                segments = [segment async for segment in found]
    return _render(segments, form, audio.samples, language, confidence, warnings)


@dataclass(slots=True)
class _Counted:
    """A stream of chunks, and how many samples of it have been read."""

    chunks: AsyncIterable[AudioChunk]
    samples: int = 0

    async def until(self, samples: int) -> list[AudioChunk]:
        """The chunks up to the first that ends behind `samples`, that one included; all, where there are fewer."""
        read: list[AudioChunk] = []
        async for chunk in self.chunks:
            read.append(chunk)
            self.samples = chunk.end
            if chunk.end > samples:
                break
        return read

    async def from_start(self, beginning: Sequence[AudioChunk]) -> AsyncGenerator[AudioChunk, None]:
        """What was read of it, then the rest."""
        for chunk in beginning:
            yield chunk
        async for chunk in self.chunks:
            self.samples = chunk.end
            yield chunk


async def _final(transcriber: Transcriber, audio: Sequence[AudioChunk], language: str | None) -> Hypothesis:
    async with aclosing(transcriber.transcribe(_stream(audio), language=language)) as hypotheses:
        return await first_final(hypotheses)


def _render(
    segments: Sequence[Segment],
    form: TranscriptionForm,
    samples: int,
    language: str | None,
    confidence: float | None,
    warnings: Sequence[str],
) -> Response[Any]:
    match form.response_format:
        case "text":
            return Response(as_text(segments), status_code=200, media_type=MediaType.TEXT)
        case "srt":
            return Response(as_srt(segments), status_code=200, media_type=MediaType.TEXT)
        case "vtt":
            return Response(as_vtt(segments), status_code=200, media_type="text/vtt; charset=utf-8")
        case "json":
            optional = {} if confidence is None else {"confidence": confidence}
            return Response({"text": as_text(segments).strip(), **optional}, status_code=200)
        case "verbose_json":
            spoken = next((s.language for s in segments if s.language), language or "")
            head = {"task": "transcribe", "language": spoken, "duration": round(seconds(samples), 3)}
            transcript = as_json(segments, with_words=False)
            numbered = [{"id": n, **segment} for n, segment in enumerate(transcript["segments"])]
            known = {} if confidence is None else {"confidence": confidence}
            words = (
                {"words": words_as_json(word for s in segments for word in s.words)}
                if "word" in form.granularities
                else {}
            )
            body = {**head, "text": transcript["text"], "segments": numbered, **words, **known}
            return Response({**body, "warnings": list(warnings)}, status_code=200)


@get("/v1/models", opt=requires(Scope.TRANSCRIBE))
async def models(state: State) -> dict[str, Any]:
    """The one model, as OpenAI's clients list it."""
    worker: Worker = state.worker
    return {"object": "list", "data": [{"id": worker.model, "object": "model", "owned_by": "parley"}]}


@get("/health", opt=ANYONE)
async def health(state: State) -> dict[str, Any]:
    """The load of this worker, for a balancer and for gateways that rank it."""
    worker: Worker = state.worker
    queue = worker.queue
    return {
        "status": "full" if queue.is_full else "ok",
        "model": worker.model,
        "queue": queue.pending,
        "atOnce": queue.concurrency,
        "p50Ms": queue.latencies.percentile(0.5),
        "p95Ms": queue.latencies.percentile(0.95),
    }


def create_worker(worker: Worker) -> Litestar:
    """The application of an open worker."""
    return Litestar(
        [transcriptions, models, health, live],
        state=State({"worker": worker}),
        middleware=[QueryMiddleware(), AuthMiddleware(lambda: worker.authenticator)],
        openapi_config=None,
        logging_config=None,
        exception_handlers={Exception: handle_http_error},
    )


async def _split(audio: AsyncIterable[AudioChunk]) -> AsyncGenerator[AudioChunk, None]:
    """The same audio, in chunks no longer than a client's."""
    async for chunk in audio:
        for at in range(0, chunk.samples, _CHUNK_SAMPLES):
            yield AudioChunk(chunk.pcm[2 * at : 2 * (at + _CHUNK_SAMPLES)], chunk.start + at)


async def _stream(audio: Sequence[AudioChunk]) -> AsyncGenerator[AudioChunk, None]:
    for chunk in audio:
        yield chunk
