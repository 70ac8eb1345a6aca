"""`POST /conversations/ID/messages` and `POST /chat`: a message in text, and its reply."""

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from app.domain.audit import AuditAction
from app.domain.principal import Principal
from app.web.auth.audit import audited, set_target
from app.web.conversations.access import CHAT, body_of, chat_of, conversation_for, require_owner, require_text
from app.web.conversations.answer import answer_response, wants_events


class NewMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    profile: str | None = None
    """For this reply, in place of the conversation's."""


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    keep: bool = False
    """Make a conversation of it."""
    profile: str | None = None


_message = msgspec.json.Decoder(NewMessage)
_chat = msgspec.json.Decoder(ChatRequest)


@post("/{conversation:str}/messages", opt={**CHAT, **audited(AuditAction.MESSAGE_ANSWERED)})
async def post_message(
    state: State,
    request: Request[Principal, Any, Any],
    conversation: FromPath[str],
    stream: FromQuery[bool | None] = None,
    profile: FromQuery[str | None] = None,
) -> Response[Any]:
    """The reply to this message, in the light of those before; as events with `stream` or the fitting `Accept`."""
    said = await body_of(request, _message)
    text = require_text(said.text)
    chat, found = chat_of(state), await conversation_for(request, conversation)
    answer = await chat.answer(found, chat.user_message(text), request.user.tenant, profile=said.profile or profile)
    return await answer_response(answer, conversation=found.id, as_events=wants_events(request, stream))


@post("/chat", opt={**CHAT, **audited(AuditAction.MESSAGE_ANSWERED)})
async def post_chat(
    state: State,
    request: Request[Principal, Any, Any],
    stream: FromQuery[bool | None] = None,
    profile: FromQuery[str | None] = None,
) -> Response[Any]:
    """The reply to one text. Nothing is kept, unless `keep` makes a conversation of it."""
    asked = await body_of(request, _chat)
    text, chat, tenant = require_text(asked.text), chat_of(state), request.user.tenant
    as_events, name = wants_events(request, stream), asked.profile or profile
    if not asked.keep:
        once = chat.answer_once(text, tenant, profile=name)
        return await answer_response(once, conversation=None, as_events=as_events)
    require_owner(request.user)
    person = request.user.person
    conversation = await chat.create(tenant, person=person or "", profile=name, by_person=person is not None)
    set_target(request, conversation.id)
    answer = await chat.answer(conversation, chat.user_message(text), tenant)
    return await answer_response(answer, conversation=conversation.id, as_events=as_events)
