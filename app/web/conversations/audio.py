"""`POST /conversations/ID/audio`: a message spoken in a file, in a recording, or behind a link; and its reply."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from io import BytesIO
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from app.domain.audit import AuditAction
from app.domain.conversations.message import MessageKind, StoredMessage
from app.domain.errors import ClientError, ClientFault, ProviderRefused
from app.domain.language import parse_languages
from app.domain.principal import Principal, Scope
from app.domain.transcript import join
from app.runtime.conversations.chat import Chat
from app.runtime.jobs.file_transcription import transcribe_file
from app.runtime.service import Service
from app.web.auth.audit import audited, set_target
from app.web.conversations.access import CHAT, body_of, chat_of, conversation_for, require_text
from app.web.conversations.answer import answer_response, wants_events
from app.web.openai.form import read_form
from app.web.recordings.access import manifest_for

MAX_BYTES = 25 << 20
"""Of a file; a longer one is uploaded to `/recordings` first."""
_NO_WORDS = "there are no words in the audio"


class AudioSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body that is no file: one of these."""

    recording: str | None = None
    """Id of a recording."""
    url: str | None = None
    """Link to a file in Google Drive."""


_source = msgspec.json.Decoder(AudioSource)


@post(
    "/{conversation:str}/audio",
    request_max_body_size=MAX_BYTES + (64 << 10),
    opt={**CHAT, **audited(AuditAction.MESSAGE_ANSWERED)},
)
async def post_audio(
    state: State,
    request: Request[Principal, Any, Any],
    conversation: FromPath[str],
    stream: FromQuery[bool | None] = None,
    profile: FromQuery[str | None] = None,
) -> Response[Any]:
    """The reply to what is said in the audio. The file itself is not kept, but for that of a recording.

    The body is a form with the part `file` (and perhaps `language`), or JSON that names a `recording`, or as `url` a
    file in Google Drive. A recording needs the scope `recordings:read` as well, a link an administrator.
    """
    chat, found = chat_of(state), await conversation_for(request, conversation)
    message = await _spoken_message(request, state.service, chat)
    set_target(request, found.id)
    answer = await chat.answer(found, message, request.user.tenant, profile=profile)
    return await answer_response(answer, conversation=found.id, as_events=wants_events(request, stream))


async def _spoken_message(request: Request[Principal, Any, Any], service: Service, chat: Chat) -> StoredMessage:
    if request.content_type[0] == "multipart/form-data":
        with service.limits.held.counted() as hold:
            file, fields = await read_form(request, hold)
            language = parse_languages(fields.language.split(",")) or None
            return await _transcribed(request, service, chat, file, language)
    source = await body_of(request, _source)
    match source:
        case AudioSource(recording=str(recording), url=None):
            return await _recorded(request, chat, recording)
        case AudioSource(recording=None, url=str(url)):
            with service.limits.held.counted() as hold:
                file = await _fetched(request.user, service, url, hold)
                return await _transcribed(request, service, chat, file, None)
        case _:
            raise ClientError(ClientFault.BAD_MESSAGE, "the body must be a form with a file, or name recording or url")


async def _transcribed(
    request: Request[Principal, Any, Any], service: Service, chat: Chat, file: BytesIO, language: str | None
) -> StoredMessage:
    file.seek(0)
    segments = await transcribe_file(
        file,
        tenant=request.user.tenant,
        admission=service.admission,
        decoder=service.decoder,
        batch_transcriber=service.batch_transcriber,
        language=language,
    )
    spoken = next((segment.language for segment in segments if segment.language), language)
    return _message(chat, [segment.text for segment in segments], language=spoken)


async def _recorded(request: Request[Principal, Any, Any], chat: Chat, recording: str) -> StoredMessage:
    """Its finals. Raises ClientError without the scope, and what manifest_for() raises."""
    if not request.user.may(Scope.RECORDINGS_READ):
        raise ClientError(ClientFault.FORBIDDEN, f"this needs the scope {Scope.RECORDINGS_READ}")
    manifest = await manifest_for(request, recording)
    finals = [final for final in manifest.finals if final.text]
    if not finals:
        raise ClientError(ClientFault.BAD_AUDIO, _NO_WORDS)
    message = _message(chat, [final.text for final in finals], language=finals[0].language)
    end = (finals[-1].speech or (0, finals[-1].end))[1]
    return replace(message, session=recording, start=(finals[0].speech or (finals[0].start, 0))[0], end=end)


async def _fetched(principal: Principal, service: Service, link: str, hold: Callable[[int], None]) -> BytesIO:
    if not principal.is_admin:
        raise ClientError(ClientFault.FORBIDDEN, "only operators may fetch with the service's own account")
    if service.source is None:
        raise ProviderRefused("google_drive", "no account for Google Drive is set")
    file = BytesIO()
    async with aclosing(service.source.read(link)) as pieces:
        async for piece in pieces:
            if file.tell() + len(piece) > MAX_BYTES:
                raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {MAX_BYTES >> 20} MB")
            hold(len(piece))
            file.write(piece)
    return file


def _message(chat: Chat, texts: list[str], *, language: str | None) -> StoredMessage:
    """Raises ClientError where there are no words, or too many."""
    text = join(texts)
    if not text:
        raise ClientError(ClientFault.BAD_AUDIO, _NO_WORDS)
    return replace(chat.user_message(require_text(text)), kind=MessageKind.VOICE, language=language)
