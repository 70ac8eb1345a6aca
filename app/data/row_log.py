"""Append-only rows: queued in memory, written in the background, each stored once however often it is tried."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import anyio
import structlog
from sqlalchemy import Select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.data.database import DATABASE_ERRORS, is_fault_of_row, is_locked, reopen, transaction
from app.data.tables import Table

QUEUE_LENGTH = 4096
"""Records that may wait for the database; when the queue is full, the newest are dropped and counted."""

BATCH = 200
RETRY_EVERY_S = 1.0

_WRITE_ERRORS = (*DATABASE_ERRORS, ValueError, TypeError)


class Identified(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Identified)
Rows = tuple[type[Table], Sequence[dict[str, Any]]]
"""A table, and what is to be inserted."""


@dataclass(slots=True)
class RowLog(Generic[R]):
    """Queue and background writer of records that become rows of one or several tables."""

    engine: AsyncEngine
    noun: str
    nouns: str
    """What one record is, and several are, for the log."""
    rows: Callable[[Sequence[R]], Sequence[Rows]]
    """Rows of these records, by table. Raises ValueError where a record can never be a row."""
    dropped: int = 0
    """Records that were not stored: the queue was full, the row cannot be written, or the service ended."""
    is_available: bool = True
    """Whether the newest write succeeded."""
    _queue: deque[R] = field(default_factory=deque)
    _more: anyio.Event = field(default_factory=anyio.Event)
    _writing: anyio.Lock = field(default_factory=anyio.Lock)

    def record(self, record: R) -> None:
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

    async def flush(self) -> bool:
        """Write what is queued. False where the database is unavailable: what is left stays queued.

        A record is stored once, however often it is tried: a commit may succeed although its answer is lost.
        """
        async with self._writing:
            while batch := list(islice(self._queue, BATCH)):
                done = await self._write(batch)
                for _ in range(done):
                    self._queue.popleft()
                was_available, self.is_available = self.is_available, done == len(batch)
                if not self.is_available:
                    return False
                if not was_available:
                    self._log.info(f"{self.nouns} are written again", queued=len(self._queue))
            return True

    async def close(self) -> None:
        """Write what is queued; what cannot be written is lost, and logged."""
        if not await self.flush():
            self.dropped += len(self._queue)
            self._log.error(f"{self.nouns} lost at exit, the database is unavailable", count=len(self._queue))
            self._queue.clear()

    async def read(self, query: Select[Any]) -> Sequence[Any]:
        """What it selects; an SQLite file that was deleted or damaged is begun anew. Raises DATABASE_ERRORS."""
        try:
            async with transaction(self.engine) as connection:
                rows: Sequence[Any] = (await connection.execute(query)).all()
                return rows
        except SQLAlchemyError as error:
            if self.engine.dialect.name != "sqlite" or is_locked(error):
                raise
            async with self._writing:
                await reopen(self.engine)
        async with transaction(self.engine) as connection:
            again: Sequence[Any] = (await connection.execute(query)).all()
        return again

    # -- writing --------------------------------------------------------------------

    async def _write(self, batch: list[R]) -> int:
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
                event = f"{self.noun} dropped, its row cannot be written"
                self._log.error(event, id=record.id, kind=type(error).__name__)
        return len(batch)

    async def _insert(self, batch: list[R]) -> None:
        """In one transaction; a row that is stored already is left as it is."""
        rows = self.rows(batch)
        async with transaction(self.engine) as connection:
            for table, values in rows:
                if values:
                    await insert_new(connection, table, values)

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
        if self.is_available:
            self.is_available = False
            event = f"{self.nouns} cannot be written now"
            self._log.error(event, kind=type(error).__name__, queued=len(self._queue))

    @property
    def _log(self) -> structlog.stdlib.BoundLogger:
        logger: structlog.stdlib.BoundLogger = structlog.get_logger("parley.database")
        return logger


async def insert_new(connection: AsyncConnection, table: type[Table], values: Sequence[dict[str, Any]]) -> None:
    """Insert; a row that is there already is left as it is."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    await connection.execute(insert(table).on_conflict_do_nothing(), values)
