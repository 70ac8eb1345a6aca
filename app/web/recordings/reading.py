"""One recording: its manifest, its sound, its end."""

from typing import Annotated, Any

import msgspec
from litestar import MediaType, Request, Response, delete, get
from litestar.datastructures import State
from litestar.params import FromPath, QueryParameter

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import BlobNotFound, SessionStillLive
from app.domain.recording.manifest import ArchivedFinal, Manifest
from app.domain.tenant import Tenant
from app.media.codec import CONTENT_TYPE, wav_header
from app.web.recordings.access import manifest_for, recordings_of, service_of
from app.web.recordings.audio_response import Format, audio_response

Seconds = Annotated[float | None, QueryParameter(ge=0)]


@get("/{session:str}/manifest")
async def manifest(state: State, request: Request[Tenant, Any, Any], session: FromPath[str]) -> Response[bytes]:
    """What is known of the session."""
    found = await manifest_for(request.user, state, session)
    return Response(msgspec.json.format(msgspec.json.encode(found)), media_type=MediaType.JSON)


@get("/{session:str}/audio")
async def audio(
    state: State,
    request: Request[Tenant, Any, Any],
    session: FromPath[str],
    form: Annotated[Format, QueryParameter(name="format")] = "wav",
    start: Seconds = None,
    end: Seconds = None,
) -> Response[Any]:
    """The session's sound, or the seconds from start to end of it."""
    found = await manifest_for(request.user, state, session)
    last = found.samples if end is None else min(found.samples, round(end * SAMPLE_RATE))
    first = min(round((start or 0.0) * SAMPLE_RATE), last)
    return await audio_response(request, recordings_of(state), found, first, last, form)


@get("/{session:str}/utterances/{number:int}")
async def utterance(
    state: State, request: Request[Tenant, Any, Any], session: FromPath[str], number: FromPath[int]
) -> Response[bytes]:
    """One utterance: its words, its samples, who wrote it down."""
    return Response(
        msgspec.json.encode(_utterance(await manifest_for(request.user, state, session), number)),
        media_type=MediaType.JSON,
    )


@get("/{session:str}/utterances/{number:int}/audio")
async def utterance_audio(
    state: State,
    request: Request[Tenant, Any, Any],
    session: FromPath[str],
    number: FromPath[int],
    form: Annotated[Format, QueryParameter(name="format")] = "wav",
) -> Response[Any]:
    """Its sound, from its first sample to the end of its speech."""
    found = await manifest_for(request.user, state, session)
    final = _utterance(found, number)
    first, last = final.speech or (final.start, final.end)
    return await audio_response(request, recordings_of(state), found, first, last, form)


@get("/{session:str}/replies/{number:int}/audio")
async def reply_audio(
    state: State, request: Request[Tenant, Any, Any], session: FromPath[str], number: FromPath[int]
) -> Response[bytes]:
    """The sound of the session's first, second, ... reply."""
    library = recordings_of(state)
    found = await manifest_for(request.user, state, session)
    if not 0 < number <= len(found.replies) or (key := found.replies[number - 1].key) is None:
        raise BlobNotFound(f"{session} has no spoken reply {number}")
    pcm = await library.read_blob(key, samples := found.replies[number - 1].samples)
    return Response(wav_header(samples) + pcm, media_type=CONTENT_TYPE["wav"])


@get("/{session:str}/links")
async def links(state: State, request: Request[Tenant, Any, Any], session: FromPath[str]) -> dict[str, str | None]:
    """Where each blob of sound can be read without this service, for an hour; null where the store cannot say."""
    found = await manifest_for(request.user, state, session)
    keys = [*(chunk.key for chunk in found.chunks), *(reply.key for reply in found.replies if reply.key)]
    store = service_of(state).store
    urls = {key: await store.url(key) for key in keys}
    return {key: url if url and url.startswith("http") else None for key, url in urls.items()}


@delete("/{session:str}", status_code=204)
async def forget(state: State, request: Request[Tenant, Any, Any], session: FromPath[str]) -> None:
    """Every blob of a session that is over, and what of it is still on the local disk."""
    service, uploader = service_of(state), service_of(state).uploader
    owner = service.admission.sessions.get(session) or await uploader.owner(session)
    if owner is None or not request.user.may_see(owner):
        raise BlobNotFound(session)
    if session in uploader.live_sessions:
        raise SessionStillLive(session)
    if not await uploader.delete(session, owner):
        raise BlobNotFound(session)


def _utterance(found: Manifest, number: int) -> ArchivedFinal:
    try:
        return next(final for final in found.finals if final.utterance == number)
    except StopIteration:
        raise BlobNotFound(f"{found.session} has no utterance {number}") from None
