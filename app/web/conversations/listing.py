"""`POST /conversations` begins one; `GET /conversations` lists and searches them, page by page."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from app.data.conversations import ConversationFilter
from app.data.database import stored_moment
from app.domain.audit import AuditAction
from app.domain.conversations.export import conversation_json
from app.domain.person import speaking_person
from app.domain.principal import Principal
from app.web.auth.audit import audited, set_target
from app.web.conversations.access import CHAT, body_of, chat_of, owner_of, require_owner, require_title
from app.web.query_values import moment_cursor, parse_moment_cursor


class NewConversation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body, which may be empty."""

    title: str | None = None
    person: str | None = None
    profile: str | None = None


_new = msgspec.json.Decoder(NewConversation)


@post("/", status_code=201, opt={**CHAT, **audited(AuditAction.CONVERSATION_CREATED)})
async def create_conversation(
    state: State, request: Request[Principal, Any, Any], profile: FromQuery[str | None] = None
) -> Response[dict[str, Any]]:
    """An empty conversation, with the profile that its replies will have.

    Its title, where none is given, will be the beginning of its first message.
    """
    require_owner(request.user)
    new = await body_of(request, _new)
    title = "" if new.title is None else require_title(new.title)
    person = speaking_person(request.user, new.person) or ""
    conversation = await chat_of(state).create(
        request.user.tenant,
        title=title,
        person=person,
        profile=new.profile or profile,
        by_person=request.user.person is not None,
    )
    set_target(request, conversation.id)
    return Response(conversation_json(conversation), headers={"location": f"/conversations/{conversation.id}"})


@get("/", opt={**CHAT, **audited(AuditAction.CONVERSATIONS_LISTED)})
async def list_conversations(
    state: State,
    request: Request[Principal, Any, Any],
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    before: FromQuery[str | None] = None,
    text: FromQuery[str | None] = None,
    person: FromQuery[str | None] = None,
    tenant: FromQuery[str | None] = None,
) -> dict[str, Any]:
    """The one with the newest message first. `next` is the `before` of the next page, or null.

    `text`: words, `"phrases"` and `prefixes*`, all of which the title, or one message, has. An administrator sees those
    of all tenants, or of the one it names; everyone else its own.
    """
    require_owner(request.user)
    own = owner_of(request.user)
    if own is not None and tenant not in (None, own):
        return {"conversations": [], "next": None}
    criteria = ConversationFilter(
        tenant=own or tenant,
        person=_without_nul(person) if request.user.person is None else request.user.person,
        text=text or None,
        before=_position(before),
        limit=limit + 1,
    )
    found = await chat_of(state).table.find(criteria)
    page = found[:limit]
    following = moment_cursor(page[-1].updated, page[-1].id) if len(found) > limit else None
    return {"conversations": [conversation_json(each) for each in page], "next": following}


def _position(before: str | None) -> tuple[str, str] | None:
    """As conversations are ordered. Raises ClientException."""
    if before is None:
        return None
    updated, conversation = parse_moment_cursor(before)
    return stored_moment(updated), conversation


def _without_nul(value: str | None) -> str | None:
    """PostgreSQL has no text with it, so nothing is equal to such a value."""
    return None if value is None else value.replace("\0", "\N{REPLACEMENT CHARACTER}")
