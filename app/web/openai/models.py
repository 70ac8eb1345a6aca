"""`GET /v1/models`: the models of this server, and the names that people type for them elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromPath

from app.domain.errors import ModelNotFound
from app.domain.principal import Principal, Scope
from app.domain.tenant import Tenant
from app.runtime.service import Service
from app.web.auth.middleware import requires

_ANY_USE = requires(Scope.TRANSCRIBE, Scope.SPEAK, Scope.CHAT)
ALIASES: Mapping[Scope, Sequence[str]] = {
    Scope.TRANSCRIBE: ("whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"),
    Scope.SPEAK: ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-realtime"),
    Scope.CHAT: ("gpt-4o-mini",),
}
"""By what they are asked for; any other name is taken just as well."""
CREATED = 1_764_201_600
"""OpenAI's clients require a time, and the models here have none: 2025-11-27."""


@dataclass(frozen=True, slots=True)
class ServedModels:
    """Names of an application's own models, and what it serves."""

    own: Callable[[Tenant], Sequence[str]]
    serves: Sequence[Scope]

    def names(self, tenant: Tenant) -> Sequence[str]:
        """Its own first, those of this tenant alone among them, and behind them the names that stand for them."""
        aliases = [alias for scope in self.serves for alias in ALIASES[scope]]
        return list(dict.fromkeys([*self.own(tenant), *aliases]))


def gateway_models(service: Service) -> ServedModels:
    """The model for files, and the tenant's profiles: a reply is asked of one by its name."""

    def own(tenant: Tenant) -> Sequence[str]:
        batch = service.batch_transcriber
        return [
            *filter(None, [batch.model if batch else ""]),
            *(each.name for each in service.profiles.offered(tenant)),
        ]

    return ServedModels(own, (Scope.TRANSCRIBE, Scope.SPEAK, Scope.CHAT))


@get("/v1/models", opt=_ANY_USE)
async def models(request: Request[Principal, Any, Any], state: State) -> dict[str, Any]:
    """The models, as OpenAI's clients list them: those of this server, and names of OpenAI's that stand for them."""
    served: ServedModels = state.models
    return {"object": "list", "data": [_model(name) for name in served.names(request.user.tenant)]}


@get("/v1/models/{model:path}", opt=_ANY_USE)
async def model(request: Request[Principal, Any, Any], state: State, model: FromPath[str]) -> dict[str, Any]:
    """One of them. Raises ModelNotFound."""
    name = model.removeprefix("/")
    if name not in state.models.names(request.user.tenant):
        raise ModelNotFound(name)
    return _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "parley"}
