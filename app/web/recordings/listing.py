"""Which recordings there are."""

from contextlib import aclosing, suppress
from typing import Annotated, Any, Literal

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from app.domain.audio import seconds
from app.domain.errors import BlobNotFound
from app.domain.recording.manifest import Manifest
from app.domain.tenant import Tenant
from app.runtime.recording.recording_store import RecordingRef
from app.web.recordings.access import recordings_of

LOOKS = 4
"""So many times the page's length is looked through for a page; what fits less often comes with the next page."""


@get("/")
async def recordings(
    state: State,
    request: Request[Tenant, Any, Any],
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    before: FromQuery[str | None] = None,
    since: Annotated[str | None, QueryParameter(pattern=r"^\d{4}-\d\d-\d\d$")] = None,
    until: Annotated[str | None, QueryParameter(pattern=r"^\d{4}-\d\d-\d\d$")] = None,
    text: FromQuery[str | None] = None,
    route: FromQuery[str | None] = None,
    kind: FromQuery[Literal["live", "ended", "recovered"] | None] = None,
    tenant: FromQuery[str | None] = None,
) -> dict[str, Any]:
    """The newest first. `next` is the `before` of the next page; a page may hold fewer than asked for.

    An operator sees those of all tenants, or of the one it names; everyone else its own.
    """
    known = await _known(state, request.user, tenant, since or "", until or "9999")
    if before:
        cursor = tuple(before.split("/", 1))
        known = [found for found in known if (found.day, found.session) < cursor]
    page: list[dict[str, Any]] = []
    looked = 0
    for looked, found in enumerate(known[: LOOKS * limit], 1):  # noqa: B007 because it is needed behind the loop
        with suppress(BlobNotFound):  # begun, and nothing of it is stored yet
            manifest = await recordings_of(state).manifest_at(found.day, found.session)
            if _fits(manifest, text, route, kind):
                page.append(_summary(manifest))
        if len(page) == limit:
            break
    last = known[looked - 1] if looked < len(known) else None
    return {"recordings": page, "next": last and f"{last.day}/{last.session}"}


async def _known(state: State, user: Tenant, asked: str | None, since: str, until: str) -> list[RecordingRef]:
    """What this user may see of what it asks for; the newest first."""
    if not user.operator and asked not in (None, user.name):
        return []
    whose = asked if user.operator else user.name
    day = since if since == until else ""
    async with aclosing(recordings_of(state).sessions(tenant=whose, date=day)) as sessions:
        return sorted([found async for found in sessions if since <= found.day <= until], reverse=True)


def _fits(manifest: Manifest, text: str | None, route: str | None, kind: str | None) -> bool:
    return (
        (text is None or any(text.casefold() in final.text.casefold() for final in manifest.finals))
        and (route is None or any(final.route == route for final in manifest.finals))
        and (kind is None or kind == _kind(manifest))
    )


def _kind(manifest: Manifest) -> str:
    return "live" if manifest.is_live else "recovered" if manifest.recovered else "ended"


def _summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.session,
        "tenant": manifest.tenant,
        "started": manifest.started,
        "ended": manifest.ended,
        "kind": _kind(manifest),
        "seconds": round(seconds(manifest.samples), 3),
        "utterances": sum(1 for final in manifest.finals if final.text),
        "text": " ".join(final.text for final in manifest.finals if final.text)[:200],
    }
