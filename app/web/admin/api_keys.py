"""API keys over HTTP: created, listed and revoked by administrators."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from app.data.api_keys import KeyStore
from app.domain.api_key import key_fields
from app.domain.audit import AuditAction
from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal, Scope
from app.json_input import decode_json
from app.runtime.authentication import find_tenant
from app.runtime.service import Service
from app.web.auth.audit import audited, set_owner, set_target
from app.web.auth.middleware import requires


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request for a key."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    scopes: Annotated[frozenset[Scope], msgspec.Meta(min_length=1)]
    tenant: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")] = "default"
    expires: datetime | None = None
    """ISO 8601 with an offset."""


_wanted = msgspec.json.Decoder(NewKey)


@post("/", opt={**requires(Scope.ADMIN), **audited(AuditAction.KEY_CREATED)})
async def create_key(request: Request[Principal, Any, Any], state: State) -> Response[dict[str, Any]]:
    """A new key. The answer alone has its secret, as `key`."""
    wanted = _read(await request.body())
    if find_tenant(wanted.tenant, state.service.tenants) is None:
        raise ClientError(ClientFault.BAD_MESSAGE, f"the tenants file has no tenant {wanted.tenant}")
    secret, key = await _keys(state).create(wanted.name, wanted.tenant, wanted.scopes, wanted.expires)
    set_target(request, key.id)
    set_owner(request, key.tenant)
    return Response(
        {"key": secret, **key_fields(key, datetime.now(UTC))}, status_code=201, headers={"cache-control": "no-store"}
    )


@get("/", opt=requires(Scope.ADMIN))
async def list_keys(state: State) -> dict[str, Any]:
    """Every key, expired and revoked ones too, without the secrets."""
    now = datetime.now(UTC)
    return {"keys": [key_fields(key, now) for key in _keys(state).all_keys()]}


@delete("/{key_id:str}", status_code=204, opt={**requires(Scope.ADMIN), **audited(AuditAction.KEY_REVOKED)})
async def revoke_key(state: State, key_id: FromPath[str]) -> None:
    """Revoke a key for good; within two seconds it is refused by every process on this database."""
    if not await _keys(state).revoke(key_id):
        raise NotFoundException("there is no such key")


router = Router("/admin/keys", route_handlers=[create_key, list_keys, revoke_key])


def _read(body: bytes) -> NewKey:
    try:
        wanted = decode_json(body, _wanted)
    except msgspec.DecodeError as error:
        raise ClientError(ClientFault.BAD_MESSAGE, f"the key cannot be made: {error}") from error
    if wanted.expires is not None and (wanted.expires.tzinfo is None or wanted.expires <= datetime.now(UTC)):
        raise ClientError(ClientFault.BAD_MESSAGE, "expires is a time in the future, with its offset from UTC")
    return wanted


def _keys(state: State) -> KeyStore:
    service: Service = state.service
    if service.keys is None:
        raise NotFoundException("this service has no database for keys")
    return service.keys
