"""Transcription jobs of all processes on one database.

Every change is decided by a pure function (`app.domain.job`) on the row as it is read, and written only where the row
is still the same. Taking a job is one statement, so that no two processes take the same.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, case, delete, func, insert, or_, select, text, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.data.database import as_busy, reopen, stored_moment, transaction
from app.data.tables import FilePartRow, JobRow
from app.domain.errors import BlobNotFound
from app.domain.job import (
    EXPIRE_AFTER,
    FINISHED,
    KEEP_FINISHED,
    MAX_CRASHES,
    FilePart,
    JobSource,
    JobState,
    TranscriptionJob,
    crash_pause_s,
)
from app.domain.upload_limits import UploadUsage

MAX_TRIES = 20
"""To change a row that others change at the same time."""
MAX_SWEPT = 100
"""Jobs that one sweep handles."""
_ADDING = 7105771201
"""PostgreSQL's advisory lock that makes the check of a quota and the row it permits one step."""
_MOMENTS = ("created", "updated", "due", "lease_until", "finished")
_LISTS = ("warnings", "key_terms")
_COLUMNS: Any = JobRow.__table__.c


@dataclass(frozen=True, slots=True)
class JobTable:
    """Every method raises ProviderBusy where the database is unavailable."""

    engine: AsyncEngine

    async def add(
        self, job: TranscriptionJob, require: Callable[[UploadUsage], None], parts: Sequence[FilePart] = ()
    ) -> None:
        """A new job. `require` gets what the tenant's and person's others take, and may raise to refuse it."""
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                if self.engine.dialect.name == "postgresql":
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADDING})"))
                await connection.execute(insert(JobRow), [{**_values(job), "revision": 0}])  # SQLite: locks the file
                own = and_(JobRow.tenant == job.tenant, JobRow.id != job.id)
                require(await _usage(connection, own, job.person))
                if parts:
                    await connection.execute(insert(FilePartRow), [_part_values(job.id, part) for part in parts])

    async def reopen(self) -> None:
        """Begin an SQLite file anew that was deleted or damaged while the service runs, as the decision log does."""
        if self.engine.dialect.name == "sqlite":
            with as_busy("jobs"):
                await reopen(self.engine)

    async def get(self, job: str) -> TranscriptionJob | None:
        found = await self._jobs(select(*_COLUMNS).where(JobRow.id == job))
        return found[0] if found else None

    async def change(
        self, job: str, decide: Callable[[TranscriptionJob], TranscriptionJob], part: FilePart | None = None
    ) -> TranscriptionJob:
        """The job as `decide` makes it of what it is now; with a part of its file, both or neither.

        Raises BlobNotFound where there is no such job, and what `decide` raises.
        """
        query = select(*_COLUMNS).where(JobRow.id == job).with_for_update()
        with as_busy("jobs"):
            for _ in range(MAX_TRIES):
                async with transaction(self.engine) as connection:
                    row = (await connection.execute(query)).one_or_none()
                    if row is None:
                        raise BlobNotFound(job)
                    changed = decide(_job(row))
                    same = and_(JobRow.id == job, JobRow.revision == row.revision)
                    written = await connection.execute(
                        update(JobRow).where(same).values(**_values(changed), revision=row.revision + 1)
                    )
                    if written.rowcount:
                        if part is not None:
                            await connection.execute(insert(FilePartRow), [_part_values(job, part)])
                        return changed
            raise TimeoutError

    async def take(
        self, owner: str, tenants: Collection[str], until: datetime, now: datetime, *, is_untried: bool = False
    ) -> TranscriptionJob | None:
        """The oldest job of these tenants that may be taken now, taken; None where there is none.

        `is_untried`: none in the middle of which a process has died.
        """
        untried = and_(JobRow.state == JobState.QUEUED, JobRow.crashes == 0)
        candidate = (
            select(JobRow.id)
            .where(_is_takeable(now), JobRow.tenant.in_(tenants), *([untried] if is_untried else []))
            .order_by(JobRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        has_crashed = JobRow.state == JobState.RUNNING
        taking = (
            update(JobRow)
            .where(JobRow.id == candidate, _is_takeable(now))
            .values(
                state=JobState.RUNNING,
                owner=owner,
                lease_until=stored_moment(until),
                fence=JobRow.fence + 1,
                attempts=case((has_crashed, JobRow.attempts), else_=JobRow.attempts + 1),
                crashes=case((has_crashed, JobRow.crashes + 1), else_=JobRow.crashes),
                updated=stored_moment(now),
                seconds_done=0.0,
                revision=JobRow.revision + 1,
            )
            .returning(*_COLUMNS)
        )
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                row = (await connection.execute(taking)).one_or_none()
                return _job(row) if row is not None else None

    async def takeable_tenants(self, now: datetime) -> list[str]:
        """Tenants that have a job which may be taken now."""
        return await self._texts(select(JobRow.tenant).where(_is_takeable(now)).distinct())

    async def find(
        self, *, tenant: str | None, person: str | None, state: JobState | None, before: str | None, limit: int
    ) -> list[TranscriptionJob]:
        """The newest first: of this tenant and person, in this state, older than the job `before`; None: whichever."""
        query = select(*_COLUMNS).order_by(JobRow.id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(JobRow.tenant == tenant)
        if person is not None:
            query = query.where(JobRow.person == person)
        if state is not None:
            query = query.where(JobRow.state == state)
        if before is not None:
            query = query.where(JobRow.id < before)
        return await self._jobs(query)

    async def overdue(self, now: datetime) -> list[TranscriptionJob]:
        """Jobs that a sweep has something to do with: interrupted, expired, or with remains."""
        abandoned = and_(JobRow.attended, JobRow.lease_until <= stored_moment(now))
        stalled = and_(
            JobRow.state == JobState.RECEIVING, ~JobRow.attended, JobRow.updated < stored_moment(now - EXPIRE_AFTER)
        )
        old = JobRow.finished < stored_moment(now - KEEP_FINISHED)
        return await self._jobs(
            select(*_COLUMNS)
            .where(or_(abandoned, stalled, old, JobRow.has_remains))
            .order_by(JobRow.id)
            .limit(MAX_SWEPT)
        )

    async def unfinished(self, jobs: Collection[str]) -> set[str]:
        """Those of these jobs that are not finished."""
        query = select(JobRow.id).where(JobRow.id.in_(jobs), JobRow.state.not_in(FINISHED))
        return set(await self._texts(query))

    async def parts(self, job: str) -> list[FilePart]:
        """Of its file, in order."""
        query = select(FilePartRow).where(FilePartRow.job == job).order_by(FilePartRow.start)
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                rows = await connection.execute(query.with_only_columns(*FilePartRow.__table__.c))
                return [FilePart(row.start, row.length, row.key) for row in rows]

    async def count_parts(self, job: str) -> int:
        query = select(func.count()).select_from(FilePartRow).where(FilePartRow.job == job)
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                return int((await connection.execute(query)).scalar_one())

    async def usage(self, tenant: str) -> UploadUsage:
        """What the tenant's unfinished jobs take."""
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                return await _usage(connection, JobRow.tenant == tenant)

    async def received_bytes(self) -> int:
        """Of the files of all unfinished jobs."""
        query = select(func.coalesce(func.sum(JobRow.received), 0)).where(JobRow.state.not_in(FINISHED))
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                return int((await connection.execute(query)).scalar_one())

    async def remove(self, job: str) -> None:
        """Forget it; of one that does not exist it is no error."""
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                await connection.execute(delete(FilePartRow).where(FilePartRow.job == job))
                await connection.execute(delete(JobRow).where(JobRow.id == job))

    async def _jobs(self, query: Select[Any]) -> list[TranscriptionJob]:
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                return [_job(row) for row in await connection.execute(query)]

    async def _texts(self, query: Select[str]) -> list[str]:
        with as_busy("jobs"):
            async with transaction(self.engine) as connection:
                return [row[0] for row in await connection.execute(query)]


def _is_takeable(now: datetime) -> ColumnElement[bool]:
    """As TranscriptionJob.is_takeable()."""
    moment = stored_moment(now)
    waits = and_(JobRow.state == JobState.QUEUED, JobRow.due <= moment)
    limits = [stored_moment(now - timedelta(seconds=crash_pause_s(crashes))) for crashes in range(MAX_CRASHES + 1)]
    limit = case(dict(enumerate(limits)), value=JobRow.crashes, else_=limits[-1])
    abandoned = and_(JobRow.state == JobState.RUNNING, ~JobRow.attended, JobRow.lease_until <= limit)
    return or_(waits, abandoned)


async def _usage(connection: AsyncConnection, which: ColumnElement[bool], person: str | None = None) -> UploadUsage:
    announced = func.coalesce(JobRow.length, 0)
    reserved = case((announced > JobRow.received, announced), else_=JobRow.received)
    is_persons = and_(JobRow.person.is_not(None), JobRow.person == person)
    query = select(
        func.count(),
        func.coalesce(func.sum(reserved), 0),
        func.count(case((is_persons, 1))),
        func.coalesce(func.sum(case((is_persons, reserved), else_=0)), 0),
    ).where(which, JobRow.state.not_in(FINISHED))
    return UploadUsage(*map(int, (await connection.execute(query)).one()))


def _values(job: TranscriptionJob) -> dict[str, Any]:
    values: dict[str, Any] = {each.name: getattr(job, each.name) for each in fields(job)}
    for name in _MOMENTS:
        values[name] = values[name] and stored_moment(values[name])
    return values | {name: msgspec.json.encode(values[name]).decode() for name in _LISTS}


def _job(row: Row[Any]) -> TranscriptionJob:
    values = {each.name: getattr(row, each.name) for each in fields(TranscriptionJob)}
    for name in _MOMENTS:
        values[name] = values[name] and datetime.fromisoformat(values[name])
    values["state"], values["source"] = JobState(row.state), JobSource(row.source)
    for name in _LISTS:
        values[name] = tuple(msgspec.json.decode(values[name], type=list[str]))
    return TranscriptionJob(**values)


def _part_values(job: str, part: FilePart) -> dict[str, Any]:
    return {"job": job, "start": part.start, "length": part.length, "key": part.key}
