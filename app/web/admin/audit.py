"""`GET /admin/audit`: entries of the audit log, for administrators."""

from typing import Annotated

import msgspec
from litestar import MediaType, Response, get
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from app.domain.audit import AuditFilter
from app.domain.principal import Scope
from app.runtime.service import Service
from app.web.auth.middleware import requires
from app.web.query_values import parse_id_cursor, parse_moment

Page = Annotated[int, QueryParameter(ge=1, le=1000)]


@get("/admin/audit", opt=requires(Scope.ADMIN))
async def audit_log(
    state: State,
    action: FromQuery[str | None] = None,
    tenant: FromQuery[str | None] = None,
    target: FromQuery[str | None] = None,
    key: FromQuery[str | None] = None,
    peer: FromQuery[str | None] = None,
    outcome: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
    until: FromQuery[str | None] = None,
    before: FromQuery[str | None] = None,
    limit: Page = 100,
) -> Response[bytes]:
    """The newest first. `next` is the `before` of the next page; null on the last."""
    service: Service = state.service
    criteria = AuditFilter(
        action,
        tenant,
        target,
        key,
        peer,
        outcome,
        parse_moment("since", since),
        parse_moment("until", until),
        None if before is None else parse_id_cursor(before),
        limit,
    )
    entries = await service.audit.find(criteria)
    following = entries[-1].id if len(entries) == limit else None
    return Response(msgspec.json.encode({"entries": entries, "next": following}), media_type=MediaType.JSON)
