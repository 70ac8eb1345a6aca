"""`POST /v1/realtime/client_secrets`: a session token in OpenAI's shape, for a browser or a device."""

from datetime import UTC
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException

from app.domain.audit import AuditAction
from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal, Scope
from app.json_input import decode_json
from app.runtime.ids import new_id
from app.runtime.service import Service
from app.runtime.session_tokens import EPHEMERAL_PREFIX, MAX_LIFETIME_S
from app.web.auth.audit import audited
from app.web.auth.middleware import ANY_KEY
from app.web.realtime.errors import EventRefused, refuse_deep
from app.web.realtime.session_object import described, new_session, updated

DEFAULT_LIFETIME_S = 600


class ExpiresAfter(msgspec.Struct, frozen=True):
    """Longer than an hour is an hour."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, msgspec.Meta(ge=10, le=7200)] = DEFAULT_LIFETIME_S


class NewClientSecret(msgspec.Struct, frozen=True):
    """The body of a request for a client secret."""

    expires_after: ExpiresAfter = ExpiresAfter()
    session: dict[str, Any] = {}
    """Checked, and given back as it will be effective; the client sends it itself, as `session.update`."""


_wanted = msgspec.json.Decoder(NewClientSecret)


@post("/v1/realtime/client_secrets", opt={**ANY_KEY, **audited(AuditAction.TOKEN_ISSUED)})
async def create_client_secret(request: Request[Principal, Any, Any], state: State) -> Response[dict[str, Any]]:
    """A session token with the scope `speak`. It is used wherever the key is."""
    service: Service = state.service
    if service.session_tokens is None:
        raise NotFoundException("this service makes no session tokens")
    try:
        wanted = decode_json(await request.body(), _wanted)
        refuse_deep(wanted.session, "session")
        kind: Any = wanted.session.get("type", "realtime")
        blank = new_session("transcription" if kind == "transcription" else "realtime", new_id(), None)
        session = described(updated(blank, wanted.session))
    except (msgspec.DecodeError, EventRefused) as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"the client secret cannot be made: {error}") from error
    lifetime_s = min(wanted.expires_after.seconds, MAX_LIFETIME_S)
    token, expires = service.session_tokens.issue(request.user, frozenset({Scope.SPEAK}), lifetime_s, "realtime")
    secret = {"value": EPHEMERAL_PREFIX + token, "expires_at": int(expires.astimezone(UTC).timestamp())}
    body = {**secret, "session": {**session, "client_secret": secret}}
    return Response(body, status_code=200, headers={"cache-control": "no-store"})
