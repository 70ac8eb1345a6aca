"""One page of the list of recordings: one query, along an index."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.data.recording_search import narrow
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
    narrowing = await narrow(connection, criteria.terms, criteria.route)
    query = _query(criteria, narrowing.column).where(*narrowing.conditions)
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


def _query(criteria: RecordingFilter, column: Callable[[Any], ColumnElement[Any]]) -> Any:
    """A deleted recording has no day."""
    day, session, state = column(RecordingRow.day), column(RecordingRow.session), column(RecordingRow.state)
    query: Any = select(*_COLUMNS).where(day > "")
    if criteria.kind is not None:
        query = query.where(state == criteria.kind)
    elif criteria.is_about_content:
        query = query.where(state.in_(_READABLE))
    else:
        query = query.where(state.in_((*_READABLE, RecordingState.UNREADABLE)))
    if criteria.tenant is not None:
        query = query.where(column(RecordingRow.tenant) == criteria.tenant)
    if criteria.person is not None:
        query = query.where(column(RecordingRow.person) == criteria.person)
    if criteria.since is not None:
        query = query.where(day >= criteria.since)
    if criteria.until is not None:
        query = query.where(day <= criteria.until)
    if criteria.before is not None:
        query = query.where(tuple_(day, session) < tuple_(*criteria.before))
    return query.order_by(day.desc(), session.desc())


def _can_match(criteria: RecordingFilter) -> bool:
    """Text with a NUL is in no database, and PostgreSQL refuses the question."""
    given = (criteria.tenant, criteria.person, criteria.route, *(criteria.before or ()))
    return all("\0" not in each for each in given if each is not None)
