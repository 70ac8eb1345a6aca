"""Decisions, kept: written in the background, listed and summed up on demand."""

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial

import anyio
import msgspec
import structlog
from anyio import to_thread
from sqlalchemy import URL, func, insert, select
from sqlalchemy import Table as SqlTable
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.data.tables import DecisionRow, ExpenseRow, Table
from app.domain.errors import SettingsError
from app.domain.routing.decision import DecisionFilter, DecisionRecord, Expense
from app.domain.routing.summary import RouteSummary, summarise

WAITING = 4096
"""Records that may wait for the database; when it is so far behind, the newest are lost and counted."""

BATCH = 200

ANSWER_S = 15.0
"""How long a database may take to answer."""

_log = structlog.get_logger("parley.decisions")


@dataclass(slots=True)
class DecisionLog:
    engine: AsyncEngine
    lost: int = 0
    _waiting: list[DecisionRecord | Expense] = field(default_factory=list)
    _more: anyio.Event = field(default_factory=anyio.Event)
    _writing: anyio.Lock = field(default_factory=anyio.Lock)

    def record(self, record: DecisionRecord | Expense) -> None:
        """Never waits."""
        if len(self._waiting) >= WAITING:
            self.lost += 1
            return
        self._waiting.append(record)
        self._more.set()

    async def write(self) -> None:
        """Write what comes, for ever."""
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; what the database does not take now is tried with the next."""
        async with self._writing:
            while batch := self._waiting[:BATCH]:
                try:
                    async with _transaction(self.engine) as connection:
                        if made := [_row(each) for each in batch if isinstance(each, DecisionRecord)]:
                            await connection.execute(insert(DecisionRow), made)
                        if spent := [asdict(each) for each in batch if isinstance(each, Expense)]:
                            await connection.execute(insert(ExpenseRow), spent)
                except (SQLAlchemyError, OSError) as error:
                    _log.error("decisions cannot be written", kind=type(error).__name__, waiting=len(self._waiting))
                    return
                del self._waiting[: len(batch)]

    async def find(self, wanted: DecisionFilter) -> list[DecisionRecord]:
        """The newest first."""
        await self.flush()
        query = select(DecisionRow.record).order_by(DecisionRow.at.desc(), DecisionRow.id).limit(wanted.limit)
        for column in (DecisionRow.session, DecisionRow.tenant, DecisionRow.route, DecisionRow.place):
            if (value := getattr(wanted, column.key)) is not None:
                query = query.where(column == value)
        if wanted.since is not None:
            query = query.where(DecisionRow.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(DecisionRow.at < wanted.until)
        async with _transaction(self.engine) as connection:
            return [_decode(text) for text in (await connection.execute(query)).scalars()]

    async def summary(self, wanted: DecisionFilter) -> Sequence[RouteSummary]:
        """For each route: its share, its latencies, its cost, its failures."""
        return summarise(await self.find(wanted))

    async def spent_on(self, day: str) -> dict[str, float]:
        """US dollars per tenant on this day, like `2026-01-31`; the service's own stand under no name."""
        spent: defaultdict[str, float] = defaultdict(float)
        next_day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        async with _transaction(self.engine) as connection:
            for row in (DecisionRow, ExpenseRow):
                query = (
                    select(row.tenant, func.sum(row.usd).label("usd"))
                    .where(row.at >= day, row.at < next_day)
                    .group_by(row.tenant)
                )
                for line in await connection.execute(query):
                    spent[line.tenant] += line.usd
        return spent


@asynccontextmanager
async def open_decisions(url: str) -> AsyncIterator[DecisionLog]:
    """The tables at this URL, made where they are missing. What waits at the end is written."""
    try:
        engine = create_async_engine(url, pool_pre_ping=True)
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise SettingsError(f"PARLEY_DATABASE_URL: {error}") from error
    try:
        try:
            await to_thread.run_sync(_try_file, engine.url)
            await _make_tables(engine)
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise SettingsError(f"PARLEY_DATABASE_URL: the database cannot be opened: {error}") from error
        decisions = DecisionLog(engine)
        try:
            yield decisions
        finally:
            with anyio.CancelScope(shield=True):
                await decisions.flush()
    finally:
        with anyio.CancelScope(shield=True):
            await engine.dispose()


async def _make_tables(engine: AsyncEngine) -> None:
    """One after the other: another process may be making the same ones, and may be ahead with any of them."""
    for table in Table.metadata.tables.values():
        try:
            await _make(engine, table)
        except (IntegrityError, OperationalError, ProgrammingError):  # made by another process just before
            await _make(engine, table)


async def _make(engine: AsyncEngine, table: SqlTable) -> None:
    async with _transaction(engine) as connection:
        await connection.run_sync(partial(Table.metadata.create_all, tables=[table]))


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Nobody's cancelling reaches into it; a database that does not answer is a `TimeoutError`.

    A connection of aiosqlite that is cut off in the middle waits for its own closing for ever, and the process with it.
    """
    with anyio.fail_after(ANSWER_S, shield=True):
        async with engine.begin() as connection:
            yield connection


def _try_file(url: URL) -> None:
    """Open the file once by hand: aiosqlite leaves a thread behind where it cannot be opened."""
    if url.get_backend_name() == "sqlite" and url.database:
        sqlite3.connect(url.database).close()


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def _row(record: DecisionRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "at": record.at,
        "session": record.session,
        "tenant": record.tenant,
        "route": record.chosen or "",
        "place": record.place or "",
        "usd": record.usd,
        "record": msgspec.json.encode(record).decode(),
    }


def _decode(text: str) -> DecisionRecord:
    return msgspec.json.decode(text, type=DecisionRecord)
