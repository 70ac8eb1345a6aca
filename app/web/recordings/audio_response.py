"""Part of a recording as an audio file: WAV with byte ranges, or FLAC, or MP3."""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import Any, BinaryIO, Literal

from anyio import to_thread
from litestar import Request, Response
from litestar.response import Stream

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.disk_errors import translate_disk_errors
from app.domain.recording.byte_range import RangeNotSatisfiable, parse_range
from app.domain.recording.manifest import Manifest
from app.domain.recording.wav import wav_header
from app.media.encode import CONTENT_TYPE, AudioEncoder
from app.runtime.recording.recording_store import RecordingStore

READ_BYTES = 1 << 16
Format = Literal["wav", "flac", "mp3"]


async def audio_response(
    request: Request[Any, Any, Any],
    recordings: RecordingStore,
    manifest: Manifest,
    first: int,
    last: int,
    audio: Format,
) -> Response[Any]:
    """The samples [first, last). Raises what RecordingStore.read_pcm() raises."""
    if audio == "wav":
        return _wav(request.headers.get("range"), recordings, manifest, first, last)
    with ExitStack() as resources, translate_disk_errors("recordings"):
        file = resources.enter_context(tempfile.TemporaryFile())
        await _encode(file, recordings.read_pcm(manifest, first, last), audio)
        size = await to_thread.run_sync(file.tell)
        await to_thread.run_sync(file.seek, 0)
        resources.pop_all()  # the response closes it
    return Stream(_read(file), media_type=CONTENT_TYPE[audio], headers={"content-length": str(size)})


async def _encode(file: BinaryIO, pieces: AsyncGenerator[bytes, None], audio: Format) -> None:
    """A thread is busy only while it encodes, never while a piece is fetched: fetching needs threads of its own."""
    encoder = await to_thread.run_sync(AudioEncoder, file, audio)
    async with aclosing(pieces):
        async for pcm in pieces:
            await to_thread.run_sync(encoder.write, pcm)
    await to_thread.run_sync(encoder.finish)


def _wav(header: str | None, recordings: RecordingStore, manifest: Manifest, first: int, last: int) -> Response[Any]:
    head = wav_header(last - first)
    size = len(head) + (last - first) * BYTES_PER_SAMPLE
    try:
        asked = parse_range(header, size)
    except RangeNotSatisfiable:
        return Response(None, status_code=416, headers={"content-range": f"bytes */{size}"})
    part = asked or range(size)
    headers = {"accept-ranges": "bytes", "content-length": str(len(part))}
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


async def _read(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    try:
        while piece := await to_thread.run_sync(file.read, READ_BYTES):
            yield piece
    finally:
        file.close()
