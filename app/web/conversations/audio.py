"""`POST /conversations/ID/audio`: a message spoken in a file, in a recording, or behind a link; and its reply."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from app.domain.audit import AuditAction
from app.domain.conversations.message import Conversation, StoredMessage
from app.domain.conversations.spoken import recorded_message, spoken_message
from app.domain.errors import ClientError, ClientFault
from app.domain.job import JobSource, TranscriptionJob
from app.domain.key_terms import merge_key_terms
from app.domain.principal import Principal, Scope
from app.runtime.conversations.chat import Chat
from app.runtime.ids import new_id, new_row_number
from app.runtime.jobs.file_transcription import transcribe_file
from app.runtime.jobs.job_lease import JobLease
from app.runtime.service import Service
from app.web.auth.audit import audited, set_target
from app.web.conversations.access import CHAT, body_of, chat_of, conversation_for
from app.web.conversations.answer import answer_response, wants_events
from app.web.openai.form import StreamedForm, TranscriptionForm
from app.web.recordings.access import manifest_for
from app.web.recordings.receiving import require_uploads

MAX_BYTES = 25 << 20
"""Of a file whose sender waits for the reply; a longer one becomes a job."""


class AudioSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body that is no file: one of these."""

    recording: str | None = None
    """Id of a recording."""
    url: str | None = None
    """Link to a file in Google Drive."""


_FORM = "multipart/form-data"
_FORM_BYTES = 64 << 10
"""Of a form, besides its file."""
_source = msgspec.json.Decoder(AudioSource)


@post("/{conversation:str}/audio", request_max_body_size=None, opt={**CHAT, **audited(AuditAction.MESSAGE_ANSWERED)})
async def post_audio(
    state: State,
    request: Request[Principal, Any, Any],
    conversation: FromPath[str],
    stream: FromQuery[bool | None] = None,
    profile: FromQuery[str | None] = None,
) -> Response[Any]:
    """The reply to what is said in the audio.

    The body is a form with the part `file` (and perhaps `language`), or JSON that names a `recording`, or as `url` a
    file in Google Drive. A recording needs the scope `recordings:read` as well, a link an administrator.

    A file of at most 25 MB is not kept. A larger one becomes a job and a recording: the answer is 202 with the job's
    id, and message and reply are appended when it is transcribed. That needs the scope `transcribe` as well.
    """
    chat, found = chat_of(state), await conversation_for(request, conversation)
    message: StoredMessage | Response[Any]
    if request.content_type[0] == _FORM:
        form = StreamedForm(request, longest=state.service.uploads.limits.largest_file + _FORM_BYTES)
        message = await _of_file(_Sent(request, state, found, profile), form.file(), form.fields)
    else:
        source = await body_of(request, _source)
        match source:
            case AudioSource(recording=str(recording), url=None):
                message = await _recorded(request, chat, recording)
            case AudioSource(recording=None, url=str(url)):
                sent = _Sent(request, state, found, profile, JobSource.LINK)
                message = await _of_file(sent, _fetched(request.user, state.service, url), TranscriptionForm)
            case _:
                raise ClientError(
                    ClientFault.BAD_MESSAGE, "the body must be a form with a file, or name recording or url"
                )
    set_target(request, found.id)
    if isinstance(message, Response):
        return message
    answer = await chat.answer(found, message, request.user.tenant, profile=profile)
    return await answer_response(answer, conversation=found.id, as_events=wants_events(request, stream))


@dataclass(frozen=True, slots=True)
class _Sent:
    """Where a file is for."""

    request: Request[Principal, Any, Any]
    state: State
    conversation: Conversation
    profile: str | None
    source: JobSource = JobSource.UPLOAD

    @property
    def service(self) -> Service:
        service: Service = self.state.service
        return service


async def _of_file(
    sent: _Sent, pieces: AsyncGenerator[bytes, None], fields: Callable[[], TranscriptionForm]
) -> StoredMessage | Response[Any]:
    """What is said in a short file, or the answer for a long one. `fields` are known when the file has come."""
    head = bytearray()
    with sent.service.limits.held.counted() as hold:
        async with aclosing(pieces):
            async for piece in pieces:
                hold(len(piece))
                head += piece
                if len(head) > MAX_BYTES:
                    return await _begin_job(sent, _chained(bytes(head), pieces), fields)
        return await _transcribed(sent, BytesIO(head), fields())


async def _chained(head: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield head
    async for piece in rest:
        yield piece


async def _begin_job(
    sent: _Sent, pieces: AsyncGenerator[bytes, None], fields: Callable[[], TranscriptionForm]
) -> Response[Any]:
    """The job belongs to the conversation's tenant and person, also where an administrator sends the file.

    Raises ClientError where this client may not have a job, or the profile is not known, and what uploads raise.
    """
    request, chat, person = sent.request, chat_of(sent.state), sent.conversation.person or None
    if not request.user.may(Scope.TRANSCRIBE):
        reason = f"a file of more than {MAX_BYTES >> 20} MB becomes a job, which needs the scope {Scope.TRANSCRIBE}"
        raise ClientError(ClientFault.FORBIDDEN, reason)
    service = require_uploads(sent.state)
    owner = service.tenant(sent.conversation.tenant)
    if not service.uploader.records(owner):
        reason = f"the file is larger than {MAX_BYTES >> 20} MB, and nothing is recorded for you: send it in parts"
        raise ClientError(ClientFault.FRAME_TOO_LARGE, reason)
    profile = chat.profiles.choose(sent.profile or sent.conversation.profile, owner)
    job = await service.uploads.open(
        new_id(),
        owner.name,
        length=None,
        language=None,
        person=person,
        by_person=request.user.person is not None,
        source=sent.source,
    )
    lease = JobLease(service.uploads, job)

    def accept(received: TranscriptionJob) -> TranscriptionJob:
        return replace(
            received.accept(service.uploads.now()),
            language=fields().allowed_languages,
            conversation=sent.conversation.id,
            message_id=new_row_number(),
            profile=sent.profile or "",
            key_terms=merge_key_terms(fields().key_terms, profile.key_terms if profile else ()),
        )

    async with lease.kept_or_discarded():
        async with service.limits.uploads.slot(), aclosing(pieces):
            await service.uploads.append(job, 0, pieces)
        await lease.change(accept)
    service.uploads.notify()
    content = {"conversation": sent.conversation.id, "job": job.id}
    return Response(content, status_code=202, headers={"location": f"/jobs/{job.id}"})


async def _transcribed(sent: _Sent, file: BytesIO, form: TranscriptionForm) -> StoredMessage:
    service, tenant, language = sent.service, sent.request.user.tenant, form.allowed_languages
    profile = chat_of(sent.state).profiles.choose(sent.profile or sent.conversation.profile, tenant)
    segments = await transcribe_file(
        file,
        tenant=tenant,
        admission=service.admission,
        decoder=service.decoder,
        batch_transcriber=service.batch_transcriber,
        language=language,
        key_terms=merge_key_terms(form.key_terms, profile.key_terms if profile else ()),
    )
    spoken = next((segment.language for segment in segments if segment.language), language)
    message = chat_of(sent.state).user_message("")
    return spoken_message(message, [segment.text for segment in segments], language=spoken)


async def _recorded(request: Request[Principal, Any, Any], chat: Chat, recording: str) -> StoredMessage:
    """Its finals. Raises ClientError without the scope or without words, and what manifest_for() raises."""
    if not request.user.may(Scope.RECORDINGS_READ):
        raise ClientError(ClientFault.FORBIDDEN, f"this needs the scope {Scope.RECORDINGS_READ}")
    return recorded_message(chat.user_message(""), await manifest_for(request, recording))


async def _fetched(principal: Principal, service: Service, link: str) -> AsyncGenerator[bytes, None]:
    """The file behind the link. Raises ClientError for all but administrators, and what a RecordingSource raises."""
    if not principal.is_admin:
        raise ClientError(ClientFault.FORBIDDEN, "only operators may fetch with the service's own account")
    async with aclosing(service.linked_file(link)) as pieces:
        async for piece in pieces:
            yield piece
