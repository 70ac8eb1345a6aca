"""A stretch of a recording as a file: wav with ranges of bytes, or flac, or mp3."""

import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, BinaryIO, Literal

from anyio import from_thread, to_thread
from litestar import Request, Response
from litestar.response import Stream

from app.domain.audio import BYTES_PER_SAMPLE
from app.domain.recording.byte_range import RangeNotSatisfiable, parse_range
from app.domain.recording.manifest import Manifest
from app.media.codec import CONTENT_TYPE, wav_header, write
from app.runtime.recording.recording_store import RecordingStore

PIECE = 1 << 16
Format = Literal["wav", "flac", "mp3"]


async def audio_response(
    request: Request[Any, Any, Any], library: RecordingStore, found: Manifest, first: int, last: int, form: Format
) -> Response[Any]:
    """The samples from first to last."""
    if form == "wav":
        return _wav(request.headers.get("range"), library, found, first, last)
    file = tempfile.TemporaryFile()  # noqa: SIM115 because the answer reads it, and closes it
    await to_thread.run_sync(write, file, _pulled(library.read_pcm(found, first, last)), form)
    size = await to_thread.run_sync(file.tell)
    await to_thread.run_sync(file.seek, 0)
    return Stream(_read(file), media_type=CONTENT_TYPE[form], headers={"content-length": str(size)})


def _wav(header: str | None, library: RecordingStore, found: Manifest, first: int, last: int) -> Response[Any]:
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
        async with aclosing(library.read_pcm(found, first + at, first - (-to_byte // BYTES_PER_SAMPLE))) as pieces:
            async for pcm in pieces:
                piece = pcm[skip : skip + left]
                skip, left = 0, left - len(piece)
                yield piece

    return Stream(body(), status_code=206 if asked else 200, media_type=CONTENT_TYPE["wav"], headers=headers)


def _pulled(pieces: AsyncGenerator[bytes, None]) -> Iterator[bytes]:
    """The pieces, in a thread of the event loop's."""

    async def following() -> bytes | None:
        return await anext(pieces, None)

    while (piece := from_thread.run(following)) is not None:
        yield piece


async def _read(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    try:
        while piece := await to_thread.run_sync(file.read, PIECE):
            yield piece
    finally:
        file.close()
