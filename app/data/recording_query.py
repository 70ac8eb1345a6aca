"""One page of the list of recordings: one query, along an index."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.data.recording_search import narrow
from app.data.recording_tables import LeaseRow, RecordingRow
from app.domain.lease import INDEXING
from app.domain.recording.listing import IndexedRecording, RecordingFilter, RecordingPage, RecordingState

MAX_READ = 5000
"""Recordings whose words are read for one page; what is not found among them is on a page behind it."""
_READABLE = (RecordingState.LIVE, RecordingState.ENDED, RecordingState.RECOVERED)
_POSITION = tuple_(RecordingRow.day, RecordingRow.session)
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
    """Recordings that cannot be read are counted where only their day or tenant is asked for.

    A page with a `next` may have fewer recordings than asked for, even none, where many have the words of a search and
    few have them as they are asked for.
    """
    completed = await connection.scalar(select(LeaseRow.completed).where(LeaseRow.name == INDEXING))
    if not _can_match(criteria):
        return RecordingPage(is_indexing=completed is None)
    narrowing = await narrow(connection, criteria.terms, criteria.route)
    query = _query(criteria, narrowing.column).where(*narrowing.conditions)
    last_read = await _last_read(connection, criteria) if narrowing.reads_words else None
    if last_read is not None:
        query = query.where(tuple_(*last_read) <= _POSITION)
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
        next=(page[-1].day, page[-1].session) if len(rows) > len(page) else last_read,
        unreadable=len(page) - len(readable),
        is_indexing=completed is None,
    )


def _query(criteria: RecordingFilter, column: Callable[[Any], ColumnElement[Any]]) -> Any:
    """A deleted recording has no day."""
    state = column(RecordingRow.state)
    query = _narrowed(select(*_COLUMNS), criteria, column)
    if criteria.kind is not None:
        return query
    if criteria.is_about_content:
        return query.where(state.in_(_READABLE))
    return query.where(state.in_((*_READABLE, RecordingState.UNREADABLE)))


async def _last_read(connection: AsyncConnection, criteria: RecordingFilter) -> tuple[str, str] | None:
    """Day and session of the last of the next MAX_READ recordings, found in an index alone; None: there are fewer."""
    places = select(RecordingRow.day, RecordingRow.session)
    query = _narrowed(places, criteria, lambda column: column).offset(MAX_READ - 1).limit(1)
    row = (await connection.execute(query)).first()
    return None if row is None else (row.day, row.session)


def _narrowed(query: Any, criteria: RecordingFilter, column: Callable[[Any], ColumnElement[Any]]) -> Any:
    """By what an index has, in the order of the list."""
    day, session = column(RecordingRow.day), column(RecordingRow.session)
    query = query.where(day > "")
    if criteria.kind is not None:
        query = query.where(column(RecordingRow.state) == criteria.kind)
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
