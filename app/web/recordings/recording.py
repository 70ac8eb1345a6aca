"""One recording: its manifest, its audio, its deletion."""

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from litestar import MediaType, Request, Response, delete, get
from litestar.datastructures import State
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import FromPath, FromQuery, QueryParameter

from app.domain.audio import SAMPLE_RATE
from app.domain.audit import AuditAction
from app.domain.errors import BlobNotFound, SessionStillLive
from app.domain.job import JobState
from app.domain.principal import Principal, Scope
from app.domain.recording.listing import day_of
from app.domain.recording.manifest import ArchivedFinal, Manifest
from app.domain.recording.wav import wav_header
from app.media.encode import CONTENT_TYPE
from app.runtime.recording.retention import last_day_kept
from app.runtime.recording.session_upload import encode_manifest
from app.web.auth.audit import audited, set_owner
from app.web.auth.middleware import requires
from app.web.recordings.access import manifest_for, recordings_of, require_session_id, service_of
from app.web.recordings.audio_response import Format, audio_response

READ = requires(Scope.RECORDINGS_READ)
Seconds = Annotated[float | None, QueryParameter(ge=0)]


@get("/{session:str}/manifest", opt={**READ, **audited(AuditAction.RECORDING_READ)})
async def get_manifest(state: State, request: Request[Principal, Any, Any], session: FromPath[str]) -> Response[bytes]:
    """The manifest, as it is stored; `Parley-Kept-Until` is the last day that the recording is kept."""
    manifest, service = await manifest_for(request, session), service_of(state)
    blob = await to_thread.run_sync(encode_manifest, manifest, limiter=service.uploader.read_threads)
    days = service.uploader.days_kept(service.tenant(manifest.tenant))
    headers = {"parley-kept-until": last_day_kept(day_of(manifest), days)} if days else {}
    return Response(blob, media_type=MediaType.JSON, headers=headers)


@get("/{session:str}/audio", opt={**READ, **audited(AuditAction.AUDIO_READ)})
async def get_audio(
    state: State,
    request: Request[Principal, Any, Any],
    session: FromPath[str],
    format: FromQuery[Format] = "wav",  # noqa: A002 because a refusal names the parameter as it is called here
    start: Seconds = None,
    end: Seconds = None,
) -> Response[Any]:
    """The session's audio, or the seconds from `start` to `end` of it."""
    if start is not None and end is not None and start > end:
        raise ClientException(f"start: {start:g} is after end, {end:g}")
    manifest = await manifest_for(request, session)
    last = manifest.samples if end is None else _sample_at(end, manifest.samples)
    first = _sample_at(start or 0.0, last)
    return await audio_response(request, service_of(state), manifest, first, last, format)


@get("/{session:str}/utterances/{number:int}", opt={**READ, **audited(AuditAction.RECORDING_READ)})
async def get_utterance(
    request: Request[Principal, Any, Any], session: FromPath[str], number: FromPath[int]
) -> Response[bytes]:
    """One utterance: its text, its samples, its route."""
    manifest = await manifest_for(request, session)
    return Response(msgspec.json.encode(_utterance(manifest, number)), media_type=MediaType.JSON)


@get("/{session:str}/utterances/{number:int}/audio", opt={**READ, **audited(AuditAction.AUDIO_READ)})
async def get_utterance_audio(
    state: State,
    request: Request[Principal, Any, Any],
    session: FromPath[str],
    number: FromPath[int],
    format: FromQuery[Format] = "wav",  # noqa: A002 because a refusal names the parameter as it is called here
) -> Response[Any]:
    """Its audio, from its first sample to the end of its speech."""
    manifest = await manifest_for(request, session)
    final = _utterance(manifest, number)
    first, last = final.speech or (final.start, final.end)
    return await audio_response(request, service_of(state), manifest, first, last, format)


@get("/{session:str}/replies/{number:int}/audio", opt={**READ, **audited(AuditAction.AUDIO_READ)})
async def get_reply_audio(
    state: State, request: Request[Principal, Any, Any], session: FromPath[str], number: FromPath[int]
) -> Response[bytes]:
    """The audio of the session's first, second, ... reply, as WAV."""
    manifest = await manifest_for(request, session)
    if not 0 < number <= len(manifest.replies) or (key := manifest.replies[number - 1].key) is None:
        raise NotFoundException(f"the recording has no spoken reply {number}")
    reply = manifest.replies[number - 1]
    samples = reply.samples
    pcm = await recordings_of(state).read_audio_blob(key, samples, reply.sha256)
    return Response(wav_header(samples) + pcm, media_type=CONTENT_TYPE["wav"])


@get("/{session:str}/links", opt={**READ, **audited(AuditAction.LINKS_SIGNED)})
async def get_links(
    state: State, request: Request[Principal, Any, Any], session: FromPath[str]
) -> dict[str, str | None]:
    """Where each blob of audio can be read without this service, for an hour; null where the store cannot say."""
    manifest = await manifest_for(request, session)
    keys = [*(chunk.key for chunk in manifest.chunks), *(reply.key for reply in manifest.replies if reply.key)]
    store = service_of(state).store
    urls = {key: await store.url(key) for key in keys}
    return {key: url if url and url.startswith("http") else None for key, url in urls.items()}


@delete(
    "/{session:str}",
    status_code=200,
    opt={**requires(Scope.RECORDINGS_DELETE), **audited(AuditAction.RECORDING_DELETED)},
)
async def remove(
    state: State,
    request: Request[Principal, Any, Any],
    session: FromPath[str],
    receipt: FromQuery[bool] = False,
) -> Response[dict[str, Any] | None]:
    """Delete every trace of a session that is over, or of a file that is still being received.

    With `receipt`: what was deleted, and what remains until when.
    """
    service, uploader = service_of(state), service_of(state).uploader
    require_session_id(session)
    own = None if request.user.is_admin else request.user.tenant.name
    job = await service.jobs.get(session)
    async with service.limits.reads.slot():
        owner = service.running_sessions.owner(session) or (
            job.tenant if job else await uploader.owner(session, tenant=own)
        )
    if owner is None or not request.user.may_see(owner):
        raise BlobNotFound(session[:64])
    set_owner(request, owner)
    if job and job.state is JobState.RUNNING:
        raise SessionStillLive(session, is_job=True)
    if session in await uploader.live_everywhere():
        raise SessionStillLive(session)
    deletion = await (service.uploads.delete(job) if job else uploader.delete(session, owner))
    if deletion is None:
        raise BlobNotFound(session)
    return Response(asdict(deletion)) if receipt else Response(None, status_code=204)


def _sample_at(seconds: float, most: int) -> int:
    """The position of this moment, at most `most`; infinity is beyond every recording."""
    return round(min(seconds * SAMPLE_RATE, most))


def _utterance(manifest: Manifest, number: int) -> ArchivedFinal:
    try:
        return next(final for final in manifest.finals if final.utterance == number)
    except StopIteration:
        raise NotFoundException(f"the recording has no utterance {number}") from None
