"""Decision log: stores decisions and expenses in the background, lists and sums up decisions on demand."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import anyio
import msgspec
import structlog
from anyio import to_thread
from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import DATABASE_ERRORS, is_fault_of_row, is_locked, open_database, reopen, transaction
from app.data.decision_json import decode_decision, encode_decision
from app.data.tables import DecisionRow, ExpenseRow, SpendRow
from app.domain.errors import ProviderBusy
from app.domain.routing.decision import DecisionFilter, DecisionRecord, Expense
from app.domain.routing.summary import RouteSummary, summarise

QUEUE_LENGTH = 4096
"""Records that may wait for the database; when the queue is full, the newest are dropped and counted."""

BATCH = 200
RETRY_EVERY_S = 1.0
PRUNE_EVERY_S = 3600.0

_WRITE_ERRORS = (*DATABASE_ERRORS, ValueError, TypeError)

_log = structlog.get_logger("parley.decisions")


@dataclass(slots=True)
class DecisionLog:
    engine: AsyncEngine
    dropped: int = 0
    """Records that were not stored: the queue was full, the row cannot be written, or the service ended."""
    _queue: deque[DecisionRecord | Expense] = field(default_factory=deque)
    _more: anyio.Event = field(default_factory=anyio.Event)
    _writing: anyio.Lock = field(default_factory=anyio.Lock)
    _is_available: bool = True
    """Whether the newest write succeeded."""

    def record(self, record: DecisionRecord | Expense) -> None:
        """Queue it. Never waits."""
        if len(self._queue) >= QUEUE_LENGTH:
            self.dropped += 1
            return
        self._queue.append(record)
        self._more.set()

    async def write_loop(self) -> None:
        """Write what is queued, for ever; while the database is unavailable, try every second."""
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            if not await self.flush():
                self._more.set()
                await anyio.sleep(RETRY_EVERY_S)

    async def prune_loop(self, keep_days: int) -> None:
        """Delete what is older than so many days, every hour; 0 keeps all."""
        while keep_days:
            try:
                await self.prune(datetime.now(UTC) - timedelta(days=keep_days))
            except ProviderBusy as error:
                _log.warning("old decisions cannot be deleted now", reason=str(error))
            await anyio.sleep(PRUNE_EVERY_S)

    async def flush(self) -> bool:
        """Write what is queued. False where the database is unavailable: what is left stays queued.

        A record is stored once, however often it is tried: a commit may succeed although its answer is lost.
        """
        async with self._writing:
            while batch := list(islice(self._queue, BATCH)):
                done = await self._write(batch)
                for _ in range(done):
                    self._queue.popleft()
                was_available, self._is_available = self._is_available, done == len(batch)
                if not self._is_available:
                    return False
                if not was_available:
                    _log.info("decisions are written again", queued=len(self._queue))
            return True

    async def close(self) -> None:
        """Write what is queued; what cannot be written is lost, and logged."""
        if not await self.flush():
            self.dropped += len(self._queue)
            _log.error("decisions lost at exit, the database is unavailable", count=len(self._queue))
            self._queue.clear()

    async def find(self, criteria: DecisionFilter) -> list[DecisionRecord]:
        """The newest first; rows that cannot be decoded are skipped and logged. Raises ProviderBusy."""
        query = select(DecisionRow.record).order_by(DecisionRow.at.desc(), DecisionRow.id).limit(criteria.limit)
        for column in (DecisionRow.session, DecisionRow.tenant, DecisionRow.route, DecisionRow.place):
            if (value := getattr(criteria, column.key)) is not None:
                query = query.where(column == value)
        if criteria.since is not None:
            query = query.where(DecisionRow.at >= _moment(criteria.since))
        if criteria.until is not None:
            query = query.where(DecisionRow.at < _moment(criteria.until))
        if self._is_available:  # what was just recorded is found, too
            await self.flush()
        with _as_busy():
            return await to_thread.run_sync(_decoded, await self._read(query))

    async def summary(self, criteria: DecisionFilter) -> Sequence[RouteSummary]:
        """Share, latency, cost and failures of each route. Raises ProviderBusy."""
        return await to_thread.run_sync(summarise, await self.find(criteria))

    async def spent_on(self, day: str) -> dict[str, float]:
        """US dollars per tenant on this day, like `2026-01-31`; the service's own under the empty name.

        Raises ProviderBusy.
        """
        spent: defaultdict[str, float] = defaultdict(float)
        next_day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        with _as_busy():
            async with transaction(self.engine) as connection:
                for row in (DecisionRow, ExpenseRow):
                    query = (
                        select(row.tenant, func.sum(row.usd).label("usd"))
                        .where(row.at >= day, row.at < next_day)
                        .group_by(row.tenant)
                    )
                    for line in await connection.execute(query):
                        spent[line.tenant] += line.usd
        return spent

    async def prune(self, before: datetime) -> None:
        """Delete decisions, expenses and the spending of days older than this. Raises ProviderBusy."""
        with _as_busy():
            async with transaction(self.engine) as connection:
                await connection.execute(delete(SpendRow).where(SpendRow.day < _moment(before)[:10]))
            for row in (DecisionRow, ExpenseRow):
                async with transaction(self.engine) as connection:
                    await connection.execute(delete(row).where(row.at < _moment(before)))

    async def _read(self, query: Select[str]) -> Sequence[str]:
        """The texts it selects; an SQLite file that was deleted or damaged is begun anew. Raises DATABASE_ERRORS."""
        try:
            async with transaction(self.engine) as connection:
                return (await connection.execute(query)).scalars().all()
        except SQLAlchemyError as error:
            if self.engine.dialect.name != "sqlite" or is_locked(error):
                raise
            async with self._writing:
                await reopen(self.engine)
        async with transaction(self.engine) as connection:
            return (await connection.execute(query)).scalars().all()

    # -- writing --------------------------------------------------------------------

    async def _write(self, batch: list[DecisionRecord | Expense]) -> int:
        """How many records of the front are done with: stored, or dropped because their rows cannot be written."""
        try:
            await self._insert(batch)
        except _WRITE_ERRORS as error:
            if not is_fault_of_row(error) and not await self._reopened(error):
                return 0
        else:
            return len(batch)
        for done, record in enumerate(batch):
            try:
                await self._insert([record])
            except _WRITE_ERRORS as error:
                if not is_fault_of_row(error):
                    self._log_unavailable(error)
                    return done
                self.dropped += 1
                _log.error("decision dropped, its row cannot be written", id=record.id, kind=type(error).__name__)
        return len(batch)

    async def _insert(self, batch: list[DecisionRecord | Expense]) -> None:
        """In one transaction; a row that is stored already is left as it is."""
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        decisions = [_decision_row(each) for each in batch if isinstance(each, DecisionRecord)]
        expenses = [_expense_row(each) for each in batch if isinstance(each, Expense)]
        async with transaction(self.engine) as connection:
            if decisions:
                await connection.execute(insert(DecisionRow).on_conflict_do_nothing(), decisions)
            if expenses:
                await connection.execute(insert(ExpenseRow).on_conflict_do_nothing(), expenses)

    async def _reopened(self, error: Exception) -> bool:
        self._log_unavailable(error)
        if is_locked(error):
            return False
        try:
            await reopen(self.engine)
        except DATABASE_ERRORS as again:
            self._log_unavailable(again)
            return False
        return True

    def _log_unavailable(self, error: Exception) -> None:
        """Once, however often it is tried again."""
        if self._is_available:
            self._is_available = False
            _log.error("decisions cannot be written now", kind=type(error).__name__, queued=len(self._queue))


@asynccontextmanager
async def open_decisions(url: str) -> AsyncIterator[DecisionLog]:
    """The log in this database. What is queued at the end is written. Raises SettingsError."""
    async with open_database(url) as engine, decisions_in(engine) as decisions:
        yield decisions


@asynccontextmanager
async def decisions_in(engine: AsyncEngine) -> AsyncIterator[DecisionLog]:
    """The log in this open database. What is queued at the end is written."""
    decisions = DecisionLog(engine)
    try:
        yield decisions
    finally:
        with anyio.CancelScope(shield=True):
            await decisions.close()


@contextmanager
def _as_busy() -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS as error:
        raise ProviderBusy("decisions", "the database is unavailable; try again in a moment") from error


def _moment(at: datetime) -> str:
    """As it is stored; a time without an offset is UTC."""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="milliseconds")


def _decision_row(record: DecisionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "at": record.at,
        "session": record.session,
        "tenant": record.tenant,
        "route": record.chosen or "",
        "place": record.place or "",
        "usd": record.usd,
        "record": encode_decision(record).decode(),
    }


def _expense_row(expense: Expense) -> dict[str, Any]:
    return {
        "uid": expense.id,
        "at": expense.at,
        "route": expense.route,
        "occasion": expense.kind,
        "usd": expense.usd,
        "session": expense.session,
        "tenant": expense.tenant,
    }


def _decoded(texts: Sequence[str]) -> list[DecisionRecord]:
    records = []
    for text in texts:
        try:
            records.append(decode_decision(text))
        except msgspec.DecodeError as error:
            _log.warning("stored decision skipped, it cannot be decoded", reason=str(error))
    return records
