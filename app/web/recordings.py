"""What is archived, over HTTP: list, read, hear, delete, and bring in recordings made elsewhere."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
import structlog
from anyio import from_thread, to_thread
from litestar import MediaType, Request, Response, Router, delete, get, post
from litestar.background_tasks import BackgroundTask
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream
from litestar.types import ExceptionHandlersMap, Guard

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, seconds
from app.domain.byte_range import NoSuchBytes, wanted
from app.domain.errors import (
    BlobNotFound,
    ClientError,
    ClientFault,
    ParleyError,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
)
from app.domain.manifest import ArchivedFinal, Manifest
from app.domain.subtitles import Segment, as_json
from app.domain.tenant import Tenant
from app.media.codec import CONTENT_TYPE, wav_header, write
from app.runtime.ingest import ingest
from app.runtime.library import Library
from app.runtime.service import Service, new_session_id
from app.web.door import OPERATOR
from app.web.sockets import may_connect

PIECE = 1 << 16
LOOKS = 4
"""So many times the page's length is looked through for a page; what fits less often comes with the next page."""
Format = Literal["wav", "flac", "mp3"]
Seconds = Annotated[float | None, QueryParameter(ge=0)]
_log = structlog.get_logger("parley.recordings")
_STATUS = {
    ClientFault.BAD_AUDIO: 415,
    ClientFault.FRAME_TOO_LARGE: 413,
    ClientFault.ORIGIN_REFUSED: 403,
    ClientFault.BAD_PACKET: 409,
}


# -- which there are ---------------------------------------------------------------


@get("/")
async def recordings(
    state: State,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    before: FromQuery[str | None] = None,
    since: Annotated[str | None, QueryParameter(pattern=r"^\d{4}-\d\d-\d\d$")] = None,
    until: Annotated[str | None, QueryParameter(pattern=r"^\d{4}-\d\d-\d\d$")] = None,
    text: FromQuery[str | None] = None,
    route: FromQuery[str | None] = None,
    kind: FromQuery[Literal["live", "ended", "recovered"] | None] = None,
) -> dict[str, Any]:
    """The newest first. `next` is the `before` of the next page; a page may hold fewer than asked for."""
    library = _library(state)
    day = since if since and since == until else ""
    async with aclosing(library.sessions(date=day)) as sessions:
        known = [found async for found in sessions if (since or "") <= found[0] <= (until or "9999")]
    known.sort(reverse=True)
    if before:
        cursor = tuple(before.split("/", 1))
        known = [found for found in known if found < cursor]
    page: list[dict[str, Any]] = []
    looked = 0
    for looked, found in enumerate(known[: LOOKS * limit], 1):  # noqa: B007 because it is needed behind the loop
        with suppress(BlobNotFound):  # begun, and nothing of it is stored yet
            manifest = await library.manifest_at(*found)
            if _fits(manifest, text, route, kind):
                page.append(_summary(manifest))
        if len(page) == limit:
            break
    return {"recordings": page, "next": "/".join(known[looked - 1]) if looked < len(known) else None}


def _fits(manifest: Manifest, text: str | None, route: str | None, kind: str | None) -> bool:
    return (
        (text is None or any(text.casefold() in final.text.casefold() for final in manifest.finals))
        and (route is None or any(final.route == route for final in manifest.finals))
        and (kind is None or kind == _kind(manifest))
    )


def _kind(manifest: Manifest) -> str:
    return "live" if manifest.is_live else "recovered" if manifest.recovered else "ended"


def _summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.session,
        "started": manifest.started,
        "ended": manifest.ended,
        "kind": _kind(manifest),
        "seconds": round(seconds(manifest.samples), 3),
        "utterances": sum(1 for final in manifest.finals if final.text),
        "text": " ".join(final.text for final in manifest.finals if final.text)[:200],
    }


# -- one of them -------------------------------------------------------------------


@get("/{session:str}/manifest")
async def manifest(state: State, session: FromPath[str]) -> Response[bytes]:
    """What is known of the session."""
    found = await _library(state).manifest(session)
    return Response(msgspec.json.format(msgspec.json.encode(found)), media_type=MediaType.JSON)


@get("/{session:str}/audio")
async def audio(
    state: State,
    request: Request[Any, Any, Any],
    session: FromPath[str],
    form: Annotated[Format, QueryParameter(name="format")] = "wav",
    start: Seconds = None,
    end: Seconds = None,
) -> Response[Any]:
    """The session's sound, or the seconds from start to end of it."""
    found = await _library(state).manifest(session)
    last = found.samples if end is None else min(found.samples, round(end * SAMPLE_RATE))
    first = min(round((start or 0.0) * SAMPLE_RATE), last)
    return await _sound(request, _library(state), found, first, last, form)


@get("/{session:str}/utterances/{number:int}")
async def utterance(state: State, session: FromPath[str], number: FromPath[int]) -> Response[bytes]:
    """One utterance: its words, its samples, who wrote it down."""
    return Response(
        msgspec.json.encode(_utterance(await _library(state).manifest(session), number)), media_type=MediaType.JSON
    )


@get("/{session:str}/utterances/{number:int}/audio")
async def utterance_audio(
    state: State,
    request: Request[Any, Any, Any],
    session: FromPath[str],
    number: FromPath[int],
    form: Annotated[Format, QueryParameter(name="format")] = "wav",
) -> Response[Any]:
    """Its sound, from its first sample to the end of its speech."""
    found = await _library(state).manifest(session)
    final = _utterance(found, number)
    first, last = final.speech or (final.start, final.end)
    return await _sound(request, _library(state), found, first, last, form)


@get("/{session:str}/replies/{number:int}/audio")
async def reply_audio(state: State, session: FromPath[str], number: FromPath[int]) -> Response[bytes]:
    """The sound of the session's first, second, ... reply."""
    library = _library(state)
    found = await library.manifest(session)
    if not 0 < number <= len(found.replies) or (key := found.replies[number - 1].key) is None:
        raise BlobNotFound(f"{session} has no spoken reply {number}")
    pcm = await library.sound(key, samples := found.replies[number - 1].samples)
    return Response(wav_header(samples) + pcm, media_type=CONTENT_TYPE["wav"])


@get("/{session:str}/links")
async def links(state: State, session: FromPath[str]) -> dict[str, str | None]:
    """Where each blob of sound can be read without this service, for an hour; null where the store cannot say."""
    found = await _library(state).manifest(session)
    keys = [*(chunk.key for chunk in found.chunks), *(reply.key for reply in found.replies if reply.key)]
    store = _service(state).store
    urls = {key: await store.url(key) for key in keys}
    return {key: url if url and url.startswith("http") else None for key, url in urls.items()}


@delete("/{session:str}", status_code=204)
async def forget(state: State, session: FromPath[str]) -> None:
    """Every blob of a session that is over, and what of it is still on the local disk."""
    archive = _service(state).archive
    if session in archive.live:
        raise StillLive
    if not await archive.forget(session):
        raise BlobNotFound(session)


# -- one more ----------------------------------------------------------------------


@post("/", request_max_body_size=None, status_code=201)
async def bring(
    state: State,
    request: Request[Tenant, Any, Any],
    language: FromQuery[str | None] = None,
    wait: FromQuery[bool] = True,
    source: FromQuery[str | None] = None,
) -> Response[dict[str, Any]]:
    """The body is a file of any audio format: it is written down and archived like a session.

    With `source`, a link to a file in Google Drive, it is fetched from there. With
    `wait=false` the answer comes as soon as the file is here.
    """
    service = _service(state)
    if full := no_place(service, request.user):
        raise ProviderBusy("recordings", full)
    session = new_session_id()
    service.sessions[session] = request.user.name
    file = tempfile.TemporaryFile()  # noqa: SIM115 because it outlives this function where nobody waits
    try:
        async with aclosing(_pieces(service, request, source)) as pieces:
            await _receive(pieces, file, service.largest_recording)
    except BaseException:  # because the place is given back whatever happened
        file.close()
        del service.sessions[session]
        raise
    work = partial(write_down, service, file, session, request.user, language)
    if not wait:
        return Response({"id": session}, status_code=202, background=BackgroundTask(unattended, work))
    segments = await work()
    return Response({"id": session, **as_json(segments)})


async def _pieces(service: Service, request: Request[Any, Any, Any], source: str | None) -> AsyncGenerator[bytes, None]:
    if source is None:
        async for piece in request.stream():
            yield piece
    elif service.source is None:
        raise ProviderRefused("google_drive", "no account for Google Drive is set")
    else:
        async with aclosing(service.source.read(source)) as pieces:
            async for piece in pieces:
                yield piece


async def _receive(pieces: AsyncIterable[bytes], file: BinaryIO, limit: int) -> None:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > limit:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {limit >> 20} MB")
        await to_thread.run_sync(file.write, piece)
    await to_thread.run_sync(file.seek, 0)


def no_place(service: Service, tenant: Tenant) -> str | None:
    """Why one more recording cannot be written down now."""
    return "nobody here writes down recordings" if service.scribe is None else service.no_room_for(tenant)


async def write_down(
    service: Service, file: BinaryIO, session: str, tenant: Tenant, language: str | None
) -> list[Segment]:
    archive, scribe = service.archive, service.scribe
    assert scribe is not None
    try:
        return await ingest(file, session=session, tenant=tenant, archive=archive, scribe=scribe, language=language)
    finally:
        del service.sessions[session]
        file.close()


async def unattended(work: Callable[[], Awaitable[list[Segment]]]) -> None:
    try:
        await work()
    except ParleyError as error:
        _log.warning("recording not written down", kind=type(error).__name__, message=str(error))


# -- sound -------------------------------------------------------------------------


async def _sound(
    request: Request[Any, Any, Any], library: Library, found: Manifest, first: int, last: int, form: Format
) -> Response[Any]:
    if form == "wav":
        return _wav(request.headers.get("range"), library, found, first, last)
    file = tempfile.TemporaryFile()  # noqa: SIM115 because the answer reads it, and closes it
    await to_thread.run_sync(write, file, _pulled(library.pcm(found, first, last)), form)
    size = await to_thread.run_sync(file.tell)
    await to_thread.run_sync(file.seek, 0)
    return Stream(_read(file), media_type=CONTENT_TYPE[form], headers={"content-length": str(size)})


def _wav(header: str | None, library: Library, found: Manifest, first: int, last: int) -> Response[Any]:
    head = wav_header(last - first)
    size = len(head) + (last - first) * BYTES_PER_SAMPLE
    try:
        asked = wanted(header, size)
    except NoSuchBytes:
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
        async with aclosing(library.pcm(found, first + at, first - (-to_byte // BYTES_PER_SAMPLE))) as pieces:
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


def _utterance(found: Manifest, number: int) -> ArchivedFinal:
    try:
        return next(final for final in found.finals if final.utterance == number)
    except StopIteration:
        raise BlobNotFound(f"{found.session} has no utterance {number}") from None


# -- around them -------------------------------------------------------------------


class StillLive(ParleyError):
    """The session is not over."""


def _service(state: State) -> Service:
    service: Service = state.service
    return service


def _library(state: State) -> Library:
    return _service(state).archive.library


def _known_page(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A foreign web page cannot use a visitor's browser to read or delete."""
    headers, allowed = connection.headers, connection.app.state.service.allowed_origins
    if not may_connect(headers.get("origin"), headers.get("host"), allowed):
        raise ClientError(ClientFault.ORIGIN_REFUSED, "this web origin may not ask; see ALLOWED_ORIGINS")


def _told(_: Request[Any, Any, Any], error: ParleyError) -> Response[dict[str, str]]:
    match error:
        case BlobNotFound():
            status, code, message = 404, "not_found", f"there is no recording {error}"
        case StillLive():
            status, code, message = 409, "still_live", "the session is not over"
        case ClientError(code=fault):
            status, code, message = _STATUS.get(fault, 400), fault, str(error)
        case ProviderError(retryable=retryable):
            status, code, message = 503 if retryable else 502, error.code, str(error)
        case _:
            status, code, message = 500, "internal_error", "something went wrong on the server"
    return Response({"code": code, "message": message}, status_code=status)


GUARDS: list[Guard] = [_known_page]
TOLD: ExceptionHandlersMap = {ParleyError: _told}
router = Router(
    "/recordings",
    route_handlers=[recordings, manifest, audio, utterance, utterance_audio, reply_audio, links, forget, bring],
    guards=GUARDS,
    exception_handlers=TOLD,
    opt=OPERATOR,
)
