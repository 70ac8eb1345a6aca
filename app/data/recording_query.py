"""One page of the list of recordings: one query, along an index."""

from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.data.recording_search import with_route, with_terms
from app.data.recording_tables import LeaseRow, RecordingRow
from app.domain.lease import INDEXING
from app.domain.recording.listing import IndexedRecording, RecordingFilter, RecordingPage, RecordingState

_READABLE = (RecordingState.LIVE, RecordingState.ENDED, RecordingState.RECOVERED)
_COLUMNS = (
    RecordingRow.session,
    RecordingRow.day,
    RecordingRow.tenant,
    RecordingRow.person,
    RecordingRow.started,
    RecordingRow.ended,
    RecordingRow.state,
    RecordingRow.seconds,
    RecordingRow.utterances,
    RecordingRow.languages,
    RecordingRow.text,
)


async def find(connection: AsyncConnection, criteria: RecordingFilter) -> RecordingPage:
    """Recordings that cannot be read are counted where only their day or tenant is asked for."""
    completed = await connection.scalar(select(LeaseRow.completed).where(LeaseRow.name == INDEXING))
    if not _can_match(criteria):
        return RecordingPage(is_indexing=completed is None)
    query = _narrowed(criteria)
    if criteria.terms is not None:
        query = await with_terms(connection, query, criteria.terms)
    if criteria.route is not None:
        query = await with_route(connection, query, criteria.route)
    rows = (await connection.execute(query.limit(criteria.limit + 1))).all()
    page = rows[: criteria.limit]
    readable = [row for row in page if row.state != RecordingState.UNREADABLE]
    return RecordingPage(
        [
            IndexedRecording(
                row.session,
                row.tenant,
                row.person,
                row.started,
                row.ended,
                RecordingState(row.state),
                row.seconds,
                row.utterances,
                row.languages.split(),
                row.text,
            )
            for row in readable
        ],
        next=(page[-1].day, page[-1].session) if len(rows) > len(page) else None,
        unreadable=len(page) - len(readable),
        is_indexing=completed is None,
    )


def _narrowed(criteria: RecordingFilter) -> Any:
    """A deleted recording has no day."""
    query: Any = select(*_COLUMNS).where(RecordingRow.day > "")
    if criteria.kind is not None:
        query = query.where(RecordingRow.state == criteria.kind)
    elif criteria.is_about_content:
        query = query.where(RecordingRow.state.in_(_READABLE))
    else:
        query = query.where(RecordingRow.state.in_((*_READABLE, RecordingState.UNREADABLE)))
    if criteria.tenant is not None:
        query = query.where(RecordingRow.tenant == criteria.tenant)
    if criteria.person is not None:
        query = query.where(RecordingRow.person == criteria.person)
    if criteria.since is not None:
        query = query.where(RecordingRow.day >= criteria.since)
    if criteria.until is not None:
        query = query.where(RecordingRow.day <= criteria.until)
    if criteria.before is not None:
        query = query.where(tuple_(RecordingRow.day, RecordingRow.session) < tuple_(*criteria.before))
    return query.order_by(RecordingRow.day.desc(), RecordingRow.session.desc())


def _can_match(criteria: RecordingFilter) -> bool:
    """Text with a NUL is in no database, and PostgreSQL refuses the question."""
    given = (criteria.tenant, criteria.person, criteria.route, *(criteria.before or ()))
    return all("\0" not in each for each in given if each is not None)
