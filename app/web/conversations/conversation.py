"""One conversation: its messages page by page, its title, its export, its deletion."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, BinaryIO

import msgspec
from anyio import to_thread
from litestar import Request, Response, delete, get, patch
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter

from app.data.conversations import MAX_MESSAGES
from app.domain.audit import AuditAction
from app.domain.conversations.deletion import ConversationReceipt, recordings_remain
from app.domain.conversations.export import (
    ExportFormat,
    as_captions,
    as_markdown,
    conversation_json,
    message_json,
)
from app.domain.conversations.message import Conversation, StoredMessage
from app.domain.errors import ClientError, ClientFault, ConversationNotFound
from app.domain.principal import Principal
from app.runtime.service import Service
from app.web.auth.audit import audited
from app.web.conversations.access import CHAT, body_of, chat_of, conversation_for, require_title
from app.web.rendered_file import file_response, rendered_file


class ConversationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed: one of these at least."""

    title: str | msgspec.UnsetType = msgspec.UNSET
    profile: str | msgspec.UnsetType | None = msgspec.UNSET
    """For the replies from now on; null: the default of now."""


_change = msgspec.json.Decoder(ConversationChange)
_CONTENT_TYPES = {
    "json": "application/json",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "srt": "text/plain",
    "vtt": "text/vtt",
}
"""Litestar adds the charset."""


@get("/{conversation:str}", opt={**CHAT, **audited(AuditAction.CONVERSATION_READ)})
async def get_conversation(
    state: State,
    request: Request[Principal, Any, Any],
    conversation: FromPath[str],
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    before: Annotated[int | None, QueryParameter(ge=1, le=1 << 30)] = None,
) -> dict[str, Any]:
    """The newest messages in their order. `next` is the `before` of the page of older ones, or null."""
    found = await conversation_for(request, conversation)
    messages = await chat_of(state).table.messages(found.id, before=before, limit=limit + 1)
    page = messages[-limit:]
    following = page[0].number if len(messages) > limit else None
    return {**conversation_json(found), "messages": [message_json(each) for each in page], "next": following}


@patch("/{conversation:str}", opt={**CHAT, **audited(AuditAction.CONVERSATION_RENAMED)})
async def change_conversation(
    state: State, request: Request[Principal, Any, Any], conversation: FromPath[str]
) -> dict[str, Any]:
    """Give it a title, or the profile that its replies will have; of both, both or neither."""
    change, chat = await body_of(request, _change), chat_of(state)
    if change == ConversationChange():
        raise ClientError(ClientFault.BAD_MESSAGE, "the body must have title or profile")
    title = None if change.title is msgspec.UNSET else change.title
    if title is not None:
        require_title(title)
    found = await conversation_for(request, conversation)
    profile = None
    if change.profile is not msgspec.UNSET:
        service: Service = state.service
        chosen = chat.profiles.choose(change.profile, service.tenant(found.tenant))
        profile = chosen.name if chosen else ""
    await chat.table.change(found.id, title=title, profile=profile)
    return conversation_json(await chat.table.get(found.id, found.tenant))


@get("/{conversation:str}/export", opt={**CHAT, **audited(AuditAction.CONVERSATION_EXPORTED)})
async def export_conversation(
    state: State,
    request: Request[Principal, Any, Any],
    conversation: FromPath[str],
    format: FromQuery[ExportFormat] = "json",  # noqa: A002 because a refusal names the parameter as it is called here
) -> Response[Any]:
    """All of it as one file."""
    found = await conversation_for(request, conversation)
    suffix = "md" if format == "markdown" else format
    headers = {"content-disposition": f'attachment; filename="{found.id}.{suffix}"'}
    service: Service = state.service
    threads = service.uploader.read_threads
    async with service.limits.exports.slot():
        with rendered_file(service, request.user.tenant.name) as file:
            messages = await chat_of(state).table.messages(found.id, limit=MAX_MESSAGES)
            await to_thread.run_sync(_write, file, found, messages, format, limiter=threads)
            return await file_response(file, threads, _CONTENT_TYPES[format], headers)


def _write(file: BinaryIO, found: Conversation, messages: Sequence[StoredMessage], form: ExportFormat) -> None:
    """Blocking: of a long conversation it is the work of seconds."""
    match form:
        case "json":
            content = {**conversation_json(found), "messages": [message_json(each) for each in messages]}
            file.write(msgspec.json.encode(content))
        case "md" | "markdown":
            file.write(as_markdown(found, messages).encode())
        case _:
            file.write(as_captions(messages, form).encode())


@delete("/{conversation:str}", status_code=200, opt={**CHAT, **audited(AuditAction.CONVERSATION_DELETED)})
async def delete_conversation(
    state: State,
    request: Request[Principal, Any, Any],
    conversation: FromPath[str],
    receipt: FromQuery[bool] = False,
) -> Response[dict[str, Any] | None]:
    """Delete it with every message. With `receipt`: what was deleted, and what remains."""
    chat, found = chat_of(state), await conversation_for(request, conversation)
    gone = await chat.delete(found.id)
    if gone is None:
        raise ConversationNotFound(found.id)
    if not receipt:
        return Response(None, status_code=204)
    deleted = {"messages": gone.messages}
    remaining = (*recordings_remain(gone.sessions), *gone.remaining)
    return Response(asdict(ConversationReceipt(found.id, found.tenant, chat.timestamp(), deleted, remaining)))
