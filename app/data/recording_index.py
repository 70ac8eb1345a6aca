"""The recordings index in the database: what is written, and what a deletion leaves."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, not_, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.data.database import stored_moment
from app.data.recording_query import find
from app.data.recording_rows import empty_row, recording_row, utterance_rows
from app.data.recording_tables import RecordingRow, UtteranceRow
from app.data.reopening import reopening
from app.data.tables import Table
from app.domain.recording.listing import RecordingFilter, RecordingPage, RecordingRef, RecordingState
from app.domain.recording.manifest import Manifest
from app.domain.recording.session_id import date_of

_DELETED = (RecordingState.DELETING, RecordingState.DELETED)
_OVER = (RecordingState.ENDED, RecordingState.RECOVERED)
_REF = (RecordingRow.day, RecordingRow.session, RecordingRow.tenant)


@dataclass(frozen=True, slots=True)
class RecordingIndexTable:
    """Every method raises ProviderBusy where the database is unavailable.

    The row of a deleted recording stays as a mark. A writer, however late, meets that row and leaves it as it is: in
    every order of a writer and a deletion nothing of the recording is found afterwards.
    """

    engine: AsyncEngine

    async def write(self, manifests: Sequence[Manifest]) -> frozenset[str]:
        """Insert or replace what is known of these recordings. Returns those that were deleted and are left out.

        What an older manifest of a live session says never replaces what a newer one said.
        """
        by_session = {manifest.session: manifest for manifest in manifests}
        now = stored_moment(datetime.now(UTC))
        rows = [recording_row(by_session[session], now) for session in sorted(by_session)]  # else writers may deadlock
        if not rows:
            return frozenset()
        async with self._transaction() as connection:
            written = await self._upsert(connection, rows, _is_older)
            await connection.execute(delete(UtteranceRow).where(UtteranceRow.session.in_(written)))
            finals = [row for session in written for row in utterance_rows(by_session[session])]
            if finals:
                await connection.execute(insert(UtteranceRow), finals)
            refused = by_session.keys() - written
            if not refused:
                return frozenset()
            deleted = select(RecordingRow.session).where(
                RecordingRow.session.in_(refused), RecordingRow.state.in_(_DELETED)
            )
            return frozenset(await connection.scalars(deleted))

    async def write_unread(self, refs: Mapping[RecordingRef, RecordingState]) -> None:
        """Insert recordings of which there is no manifest to read: BEGUN or UNREADABLE."""
        now = stored_moment(datetime.now(UTC))
        rows = [empty_row(ref, state, now) for ref, state in sorted(refs.items(), key=lambda item: item[0].session)]
        if not rows:
            return
        async with self._transaction() as connection:
            written = await self._upsert(connection, rows, _knows_more)
            await connection.execute(delete(UtteranceRow).where(UtteranceRow.session.in_(written)))

    async def remove(self, session: str) -> None:
        """Remove the recording; one of the same id may be written again."""
        async with self._transaction() as connection:
            row = delete(RecordingRow).where(RecordingRow.session == session, RecordingRow.state.not_in(_DELETED))
            await connection.execute(row)
            await connection.execute(delete(UtteranceRow).where(UtteranceRow.session == session))

    async def begin_deletion(self, session: str, tenant: str, at: datetime) -> int:
        """Remove the recording for good; its blobs are still there. How many rows there were."""
        moment = stored_moment(at)
        ref = RecordingRef(date_of(session) or "", session, tenant)
        row = {**empty_row(ref, RecordingState.DELETING, moment), "ended": moment}
        async with self._transaction() as connection:
            known = select(RecordingRow.id).where(RecordingRow.session == session, RecordingRow.state.not_in(_DELETED))
            count = len((await connection.execute(known)).all())
            keeping = {name: value for name, value in row.items() if name not in {"session", "day", "tenant"}}
            mark = self._insert(RecordingRow).values([row])
            await connection.execute(
                mark.on_conflict_do_update(
                    index_elements=["session"], set_=keeping, where=RecordingRow.state != RecordingState.DELETED
                )
            )
            finals = await connection.execute(delete(UtteranceRow).where(UtteranceRow.session == session))
            return count + finals.rowcount

    async def finish_deletion(self, session: str) -> None:
        """Its blobs are gone, too. Nothing happens where its deletion was not begun."""
        mark = (
            update(RecordingRow)
            .where(RecordingRow.session == session, RecordingRow.state == RecordingState.DELETING)
            .values(state=RecordingState.DELETED, day="", tenant="")
        )
        async with self._transaction() as connection:
            await connection.execute(mark)

    async def find(self, criteria: RecordingFilter) -> RecordingPage:
        """The newest first."""
        async with self._transaction() as connection:
            return await find(connection, criteria)

    async def expired(
        self, before: str, of_tenants: Mapping[str, str], after: RecordingRef | None, limit: int
    ) -> Sequence[RecordingRef]:
        """Recordings of days before `before`, or before that of their tenant, the oldest first, after `after`."""
        own = [and_(RecordingRow.tenant == tenant, RecordingRow.day < day) for tenant, day in of_tenants.items()]
        others = and_(RecordingRow.tenant.not_in(of_tenants), RecordingRow.day < before)
        newest = max([before, *of_tenants.values()])
        return await self._refs(after, limit, RecordingRow.day < newest, or_(others, *own))

    async def half_deleted(self) -> Sequence[RecordingRef]:
        """Recordings whose deletion was begun and not finished."""
        query = select(*_REF).where(RecordingRow.state == RecordingState.DELETING).order_by(*_REF[:2])
        async with self._transaction() as connection:
            return [RecordingRef(*row) for row in await connection.execute(query)]

    async def forget_deleted(self, before: datetime) -> None:
        """Remove the marks of recordings that were deleted before this moment."""
        old = delete(RecordingRow).where(
            RecordingRow.state == RecordingState.DELETED, RecordingRow.ended < stored_moment(before)
        )
        async with self._transaction() as connection:
            await connection.execute(old)

    async def over(self, sessions: Collection[str]) -> frozenset[str]:
        """Those of these recordings that the index has, and that will not change any more by themselves."""
        query = select(RecordingRow.session).where(
            RecordingRow.session.in_(sessions), RecordingRow.state.in_((*_OVER, *_DELETED))
        )
        async with self._transaction() as connection:
            return frozenset(await connection.scalars(query))

    async def persons(self, tenant: str, sessions: Collection[str]) -> Mapping[str, str | None]:
        """Who speaks in those of these recordings of the tenant that will not change any more by themselves."""
        query = select(RecordingRow.session, RecordingRow.person).where(
            RecordingRow.session.in_(sessions), RecordingRow.tenant == tenant, RecordingRow.state.in_(_OVER)
        )
        async with self._transaction() as connection:
            return {row.session: row.person for row in await connection.execute(query)}

    async def written_before(
        self, moment: datetime, tenant: str | None, after: RecordingRef | None, limit: int
    ) -> Sequence[RecordingRef]:
        """Recordings that were not written since this moment, the oldest first, after `after`."""
        conditions = [RecordingRow.written < stored_moment(moment)]
        if tenant is not None:
            conditions.append(RecordingRow.tenant == tenant)
        return await self._refs(after, limit, *conditions)

    async def _refs(
        self, after: RecordingRef | None, limit: int, *conditions: ColumnElement[bool]
    ) -> Sequence[RecordingRef]:
        """Of recordings that are not deleted, the oldest first."""
        query = select(*_REF).where(RecordingRow.day > "", RecordingRow.state.not_in(_DELETED), *conditions)
        if after is not None:
            query = query.where(tuple_(RecordingRow.day, RecordingRow.session) > tuple_(after.day, after.session))
        async with self._transaction() as connection:
            rows = await connection.execute(query.order_by(*_REF[:2]).limit(limit))
            return [RecordingRef(*row) for row in rows]

    async def _upsert(
        self,
        connection: AsyncConnection,
        rows: Sequence[Mapping[str, Any]],
        stays: Callable[[Any], ColumnElement[bool]],
    ) -> frozenset[str]:
        """The sessions whose row was inserted or replaced; `stays` says which rows are left as they are."""
        statement = self._insert(RecordingRow).values(list(rows))
        changed = statement.on_conflict_do_update(
            index_elements=["session"],
            set_={name: statement.excluded[name] for name in rows[0] if name != "session"},
            where=and_(RecordingRow.state.not_in(_DELETED), not_(stays(statement.excluded))),
        )
        return frozenset(await connection.scalars(changed.returning(RecordingRow.session)))

    def _insert(self, table: type[Table]) -> Any:
        return (postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert)(table)

    def _transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return reopening(self.engine, "recordings")


def _is_older(new: Any) -> ColumnElement[bool]:
    """Whether the row that is there was made of a later manifest."""
    is_later = or_(RecordingRow.state.in_(_OVER), RecordingRow.samples > new.samples)
    return and_(new.state == RecordingState.LIVE, is_later)


def _knows_more(new: Any) -> ColumnElement[bool]:
    """Whether the row that is there is worth more than a recording without a manifest."""
    has_row = and_(new.state == RecordingState.BEGUN, RecordingRow.state != RecordingState.BEGUN)
    return or_(has_row, RecordingRow.state == RecordingState.LIVE)
