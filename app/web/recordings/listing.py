"""`GET /recordings`: the list, page by page, with filters and full-text search."""

from datetime import date
from typing import Annotated, Any, Literal

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter

from app.domain.audit import AuditAction
from app.domain.errors import ProviderBusy
from app.domain.principal import Principal, Scope
from app.domain.recording.listing import IndexedRecording, RecordingFilter, RecordingPage
from app.domain.recording.text_search import parse_search
from app.web.auth.audit import audited
from app.web.auth.middleware import requires
from app.web.query_values import parse_day_cursor
from app.web.recordings.access import service_of


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
    """The newest first. `next` is the `before` of the next page; `text` has words, `"phrases"` and `prefixes*`.

    An operator sees those of all tenants, or of the one it names; everyone else its own. A recording whose manifest
    cannot be read is left out and counted in `unreadable`. `indexing`: older recordings are still being added. Raises
    ProviderBusy where the database is away.
    """
    user, index = request.user, service_of(state).uploader.index
    if index is None:
        raise ProviderBusy("recordings", "this service has no database, which lists them")
    if not user.is_admin and tenant not in (None, user.tenant.name):
        return _answer(RecordingPage())
    criteria = RecordingFilter(
        tenant=tenant if user.is_admin else user.tenant.name,
        person=person,
        since=since.isoformat() if since else None,
        until=until.isoformat() if until else None,
        terms=parse_search(text) if text else None,
        route=route,
        kind=kind,
        before=None if before is None else parse_day_cursor(before),
        limit=limit,
    )
    async with service_of(state).limits.listings.slot():
        return _answer(await index.find(criteria))


def _answer(page: RecordingPage) -> dict[str, Any]:
    return {
        "recordings": [_summary(each) for each in page.recordings],
        "next": page.next and "/".join(page.next),
        "unreadable": page.unreadable,
        "indexing": page.is_indexing,
    }


def _summary(recording: IndexedRecording) -> dict[str, Any]:
    return {
        "id": recording.session,
        "tenant": recording.tenant,
        "person": recording.person,
        "started": recording.started,
        "ended": recording.ended,
        "kind": recording.state,
        "seconds": recording.seconds,
        "utterances": recording.utterances,
        "languages": recording.languages,
        "text": recording.text,
    }
