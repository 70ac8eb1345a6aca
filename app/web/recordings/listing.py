"""`GET /recordings`: the list, page by page, with filters."""

import heapq
from collections.abc import Callable
from contextlib import aclosing
from datetime import date
from typing import Annotated, Any, Literal

import structlog
from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from app.domain.audio import seconds
from app.domain.audit import AuditAction
from app.domain.errors import BlobNotFound, BlobUnreadable
from app.domain.principal import Principal, Scope
from app.domain.recording.manifest import Manifest
from app.runtime.recording.recording_store import RecordingRef
from app.web.auth.audit import audited
from app.web.auth.middleware import requires
from app.web.recordings.access import recordings_of, service_of

MAX_READ_PER_ITEM = 4
"""Manifests read for a page, per item of its length; what matches less often comes with the next page."""

_log = structlog.get_logger("parley.recordings")


@get("/", opt={**requires(Scope.RECORDINGS_READ), **audited(AuditAction.RECORDINGS_LISTED)})
async def list_recordings(
    state: State,
    request: Request[Principal, Any, Any],
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    before: FromQuery[str | None] = None,
    since: FromQuery[date | None] = None,
    until: FromQuery[date | None] = None,
    text: FromQuery[str | None] = None,
    route: FromQuery[str | None] = None,
    kind: FromQuery[Literal["live", "ended", "recovered"] | None] = None,
    tenant: FromQuery[str | None] = None,
    person: FromQuery[str | None] = None,
) -> dict[str, Any]:
    """The newest first. `next` is the `before` of the next page; a page may hold fewer than asked for.

    An operator sees those of all tenants, or of the one it names; everyone else its own. A
    recording whose manifest cannot be read is left out and counted in `unreadable`.
    """
    async with service_of(state).limits.listings.slot():
        known = await _visible(
            state,
            request.user,
            tenant,
            (since.isoformat() if since else "", until.isoformat() if until else "9999"),
            before,
            limit,
        )
        return await _page(state, known, limit, lambda manifest: _matches(manifest, text, route, kind, person))


async def _page(
    state: State, known: list[RecordingRef], limit: int, matches: Callable[[Manifest], bool]
) -> dict[str, Any]:
    page: list[dict[str, Any]] = []
    read = unreadable = 0
    for read, ref in enumerate(known[: MAX_READ_PER_ITEM * limit], 1):  # noqa: B007 because it is needed behind the loop
        try:
            manifest = await recordings_of(state).manifest_at(ref)
        except BlobNotFound:
            continue  # begun, and nothing of it is stored yet
        except BlobUnreadable as error:
            unreadable += 1
            _log.warning("manifest cannot be read", session=ref.session, message=str(error))
            continue
        if matches(manifest):
            page.append(_summary(manifest))
        if len(page) == limit:
            break
    last = known[read - 1] if read < len(known) else None
    return {"recordings": page, "next": last and f"{last.day}/{last.session}", "unreadable": unreadable}


async def _visible(
    state: State, user: Principal, asked: str | None, days: tuple[str, str], before: str | None, limit: int
) -> list[RecordingRef]:
    """The newest of what this user may see of what it asks for, as many as a page may read and one more."""
    if not user.is_admin and asked not in (None, user.tenant.name):
        return []
    owner = asked if user.is_admin else user.tenant.name
    since, until = days
    cursor = tuple(before.split("/", 1)) if before else None
    newest: list[RecordingRef] = []  # a heap, oldest first, so that the index is never whole in memory
    async with aclosing(recordings_of(state).list_refs(tenant=owner, date=since if since == until else "")) as refs:
        async for ref in refs:
            if since <= ref.day <= until and (cursor is None or (ref.day, ref.session) < cursor):
                if len(newest) > MAX_READ_PER_ITEM * limit:
                    heapq.heappushpop(newest, ref)
                else:
                    heapq.heappush(newest, ref)
    return sorted(newest, reverse=True)


def _matches(manifest: Manifest, text: str | None, route: str | None, kind: str | None, person: str | None) -> bool:
    return (
        (text is None or any(text.casefold() in final.text.casefold() for final in manifest.finals))
        and (route is None or any(final.route == route for final in manifest.finals))
        and (kind is None or kind == _kind(manifest))
        and (person is None or person == manifest.person)
    )


def _kind(manifest: Manifest) -> str:
    return "live" if manifest.is_live else "recovered" if manifest.recovered else "ended"


def _summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.session,
        "tenant": manifest.tenant,
        "person": manifest.person,
        "started": manifest.started,
        "ended": manifest.ended,
        "kind": _kind(manifest),
        "seconds": round(seconds(manifest.samples), 3),
        "utterances": sum(1 for final in manifest.finals if final.text),
        "text": " ".join(final.text for final in manifest.finals if final.text)[:200],
    }
