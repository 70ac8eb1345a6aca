"""`POST /auth/session-tokens`: a short-lived token for one browser or device."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException

from app.domain.audit import AuditAction
from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal, Scope
from app.json_input import decode_json
from app.runtime.service import Service
from app.runtime.session_tokens import MAX_LIFETIME_S
from app.web.auth.audit import audited
from app.web.auth.middleware import ANY_KEY


class NewSessionToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request for a token."""

    scopes: Annotated[frozenset[Scope], msgspec.Meta(min_length=1)]
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIFETIME_S)] = 600
    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    person: str | None = None
    """Who speaks with it."""


_wanted = msgspec.json.Decoder(NewSessionToken)


@post("/auth/session-tokens", opt={**ANY_KEY, **audited(AuditAction.TOKEN_ISSUED)})
async def create_session_token(request: Request[Principal, Any, Any], state: State) -> Response[dict[str, str]]:
    """A token for the key's tenant, with some of the key's scopes. It is used wherever the key is."""
    service: Service = state.service
    if service.session_tokens is None:
        raise NotFoundException("this service makes no session tokens")
    try:
        wanted = decode_json(await request.body(), _wanted)
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"the token cannot be made: {error}") from error
    token, expires = service.session_tokens.issue(request.user, wanted.scopes, wanted.ttl_s, wanted.name, wanted.person)
    return Response(
        {"token": token, "expiresAt": expires.isoformat()}, status_code=201, headers={"cache-control": "no-store"}
    )
