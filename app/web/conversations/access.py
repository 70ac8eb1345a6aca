"""Access to conversations: the tenant's own alone; and what a request may contain."""

import unicodedata
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State

from app.domain.conversations.message import MAX_TEXT_CHARACTERS, TITLE_CHARACTERS, Conversation
from app.domain.errors import ClientError, ClientFault, ConversationNotFound, ProviderBusy
from app.domain.principal import Principal, Scope
from app.json_input import decode_json
from app.runtime.conversations.chat import Chat
from app.web.auth.audit import set_owner, set_target
from app.web.auth.middleware import requires
from app.web.request_body import small_body_of

CHAT = requires(Scope.CHAT)
T = TypeVar("T")


def chat_of(state: State) -> Chat:
    """Raises ProviderBusy where this service has no chat."""
    chat: Chat | None = state.service.chat
    if chat is None:
        raise ProviderBusy("conversations", "this service keeps no conversations")
    return chat


def require_owner(principal: Principal) -> None:
    """Raises ClientError for whoever has no key: its conversations would be those of everyone else without one."""
    if principal.is_stranger:
        raise ClientError(ClientFault.FORBIDDEN, "conversations are kept for clients with a key alone")


def owner_of(principal: Principal) -> str | None:
    """The tenant whose conversations this principal may see; None: everyone's."""
    return None if principal.is_admin else principal.tenant.name


async def conversation_for(request: Request[Principal, Any, Any], conversation: str) -> Conversation:
    """Raises ConversationNotFound, also for another tenant's or person's; ClientError for whoever has no key."""
    require_owner(request.user)
    set_target(request, conversation)
    if not conversation.isascii() or "\0" in conversation:
        raise ConversationNotFound(conversation[:64])
    table = chat_of(request.app.state).table
    found = await table.get(conversation, owner_of(request.user), person=request.user.person)
    set_owner(request, found.tenant)
    return found


async def body_of(request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T]) -> T:
    """Raises ClientError where the body is not the JSON that it should be, and HTTPException (413)."""
    try:
        return decode_json(await small_body_of(request) or b"{}", decoder)
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"the body cannot be read: {error}") from error


def require_text(text: str, *, longest: int = MAX_TEXT_CHARACTERS, name: str = "text") -> str:
    """The same text. Raises ClientError where it is empty, too long, or has control characters."""
    if not text.strip():
        raise ClientError(ClientFault.BAD_MESSAGE, f"{name} is empty")
    if len(text) > longest:
        reason = f"{name} has {len(text)} characters; {longest} is the most"
        raise ClientError(ClientFault.TEXT_TOO_LONG, reason)
    if any(unicodedata.category(sign) == "Cc" and sign not in "\t\n\r" for sign in text):
        raise ClientError(ClientFault.BAD_MESSAGE, f"{name} has control characters, such as NUL")
    return text


def require_title(title: str) -> str:
    """The same title. Raises ClientError where it is empty, too long, or more than one line."""
    if len(title.splitlines()) > 1 or title != title.strip("\r\n"):
        raise ClientError(ClientFault.BAD_MESSAGE, "title has a line break; it is one line")
    return require_text(title, longest=TITLE_CHARACTERS, name="title")
