"""`GET /engines`: which engines answer and speak here, for the page to name them."""

import msgspec
from litestar import get
from litestar.datastructures import State

from app.domain.principal import Scope
from app.runtime.service import Service
from app.web.auth.middleware import requires


class ReplyEngineSummary(msgspec.Struct, frozen=True, rename="camel"):
    engine: str
    model: str
    is_demonstration: bool = msgspec.field(name="demonstration")


class EngineSummary(msgspec.Struct, frozen=True, rename="camel"):
    replies: tuple[ReplyEngineSummary, ...]
    """In their order: the first answers, the next where it fails. Empty: nothing is answered."""
    languages: tuple[str, ...]
    """Spoken languages where a session sets none, as codes; empty: any."""


@get("/engines", opt=requires(Scope.SPEAK, Scope.CHAT))
async def engines(state: State) -> EngineSummary:
    """Which engines reply where a profile names no other, and the language that is expected."""
    service: Service = state.service
    return EngineSummary(
        tuple(ReplyEngineSummary(each.engine, each.model, each.is_demonstration) for each in service.answering),
        tuple(filter(None, (service.initial_state.rules.language or "").split(","))),
    )
