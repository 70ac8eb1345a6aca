"""Part of a recording as an audio file: WAV with byte ranges, or FLAC, or MP3."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, BinaryIO, Literal

from anyio import CapacityLimiter, to_thread
from litestar import Request, Response
from litestar.response import Stream

from app.domain.audio import BYTES_PER_SAMPLE, seconds
from app.domain.recording.byte_range import RangeNotSatisfiable, parse_range
from app.domain.recording.manifest import Manifest
from app.domain.recording.wav import wav_header
from app.media.encode import CONTENT_TYPE, AudioEncoder
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.service import Service
from app.web.rendered_file import file_response, rendered_file

MAX_LOST_SPANS = 50
"""Named in the header; more would not fit into what proxies accept."""
Format = Literal["wav", "flac", "mp3"]


async def audio_response(
    request: Request[Any, Any, Any], service: Service, manifest: Manifest, first: int, last: int, audio: Format
) -> Response[Any]:
    """The samples [first, last); those that are lost are silence, which the header `Parley-Lost` names.

    Raises ProviderBusy where too many renderings wait, and what RecordingStore.read_pcm() raises.
    """
    recordings, threads = service.uploader.recordings, service.uploader.read_threads
    if audio == "wav":
        async with service.limits.reads.slot():
            lost = await recordings.missing_audio(manifest, first, last)
        return _wav(request.headers.get("range"), recordings, manifest, first, last, lost)
    lost = []
    async with service.limits.renderings.slot():
        with rendered_file(service, request.user.tenant.name) as file:
            pieces = recordings.read_pcm(manifest, first, last, on_loss=lambda start, end: lost.append((start, end)))
            await _encode(file, pieces, audio, threads)
            headers = {"accept-ranges": "none", **_lost_header(lost)}
            return await file_response(file, threads, CONTENT_TYPE[audio], headers)


def _lost_header(lost: list[tuple[int, int]]) -> dict[str, str]:
    """Seconds from the recording's first that are silence because their audio is missing or damaged."""
    spans = [f"{seconds(start):g}-{seconds(end):g}" for start, end in lost[:MAX_LOST_SPANS]]
    return {"parley-lost": ", ".join(spans)} if spans else {}


async def _encode(file: BinaryIO, pieces: AsyncGenerator[bytes, None], audio: Format, threads: CapacityLimiter) -> None:
    """A thread is busy only while it encodes, never while a piece is fetched: fetching needs threads of its own."""
    encoder = await to_thread.run_sync(AudioEncoder, file, audio, limiter=threads)
    async with aclosing(pieces):
        async for pcm in pieces:
            await to_thread.run_sync(encoder.write, pcm, limiter=threads)
    await to_thread.run_sync(encoder.finish, limiter=threads)


def _wav(
    header: str | None,
    recordings: RecordingStore,
    manifest: Manifest,
    first: int,
    last: int,
    lost: list[tuple[int, int]],
) -> Response[Any]:
    head = wav_header(last - first)
    size = len(head) + (last - first) * BYTES_PER_SAMPLE
    try:
        asked = parse_range(header, size)
    except RangeNotSatisfiable:
        refusal = {"code": "range_not_satisfiable", "message": f"the file has {size} bytes"}
        return Response(refusal, status_code=416, headers={"content-range": f"bytes */{size}"})
    part = asked or range(size)
    headers = {"accept-ranges": "bytes", "content-length": str(len(part)), **_lost_header(lost)}
    if asked:
        headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"

    async def body() -> AsyncGenerator[bytes, None]:
        yield head[part.start : part.stop]
        from_byte, to_byte = max(0, part.start - len(head)), max(0, part.stop - len(head))
        at = from_byte // BYTES_PER_SAMPLE
        skip, left = from_byte - at * BYTES_PER_SAMPLE, to_byte - from_byte
        samples = recordings.read_pcm(manifest, first + at, first - (-to_byte // BYTES_PER_SAMPLE))
        async with aclosing(samples) as pieces:
            async for pcm in pieces:
                piece = pcm[skip : skip + left]
                skip, left = 0, left - len(piece)
                yield piece

    return Stream(body(), status_code=206 if asked else 200, media_type=CONTENT_TYPE["wav"], headers=headers)
