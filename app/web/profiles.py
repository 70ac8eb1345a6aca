"""`GET /profiles`: what a client may choose for its session or conversation."""

import msgspec
from litestar import Request, get
from litestar.datastructures import State

from app.domain.principal import Principal, Scope
from app.runtime.service import Service
from app.web.auth.middleware import requires


class ProfileSummary(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    description: str
    languages: tuple[str, ...]
    """Empty: as the server's settings have it."""
    is_default: bool = msgspec.field(name="default")


@get("/profiles", opt=requires(Scope.SPEAK, Scope.CHAT))
async def profiles(request: Request[Principal, None, State], state: State) -> list[ProfileSummary]:
    """The profiles of this server by name, never their instructions or tools."""
    service: Service = state.service
    tenant = request.user.tenant
    default = service.profiles.choose(None, tenant)
    return [
        ProfileSummary(each.name, each.description, each.languages, default is not None and each.name == default.name)
        for each in service.profiles.offered(tenant)
    ]
