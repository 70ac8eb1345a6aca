"""Opens the database, makes its tables, and says what an error of it means."""

import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import EAI_AGAIN, gaierror
from typing import Any

import anyio
import structlog
from anyio import to_thread
from sqlalchemy import URL, Connection, inspect, make_url, text
from sqlalchemy import Table as SqlTable
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.data.tables import ExpenseRow, Table
from app.domain.errors import ProviderBusy, SettingsError

TIMEOUT_S = 15.0
"""How long a database may take for one transaction."""

LOCK_TIMEOUT_S = 1.0
"""How long SQLite waits for a lock of another process."""

UNAVAILABLE = "the database is unavailable; try again in a moment"
"""What a client is told."""

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError)

_log = structlog.get_logger("parley.database")


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[AsyncEngine]:
    """The database at this URL, its tables made where they are missing. Raises SettingsError."""
    async with open_engine(url) as engine:
        await prepare(engine)
        yield engine


@asynccontextmanager
async def open_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """The engine for this URL; nothing is asked of the database yet. Raises SettingsError."""
    try:
        is_sqlite = make_url(url).get_backend_name() == "sqlite"
        arguments: dict[str, Any] = {"timeout": LOCK_TIMEOUT_S} if is_sqlite else {}
        engine = create_async_engine(url, pool_pre_ping=True, connect_args=arguments)
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise SettingsError(f"PARLEY_DATABASE_URL: {error}") from error
    try:
        yield engine
    finally:
        with anyio.CancelScope(shield=True):
            await engine.dispose()


async def prepare(engine: AsyncEngine, *, is_required: bool = True) -> bool:
    """Make missing tables: whether the database answers. Raises SettingsError.

    False, within TIMEOUT_S, only where it is not required and is a server that does not answer now; `reopen` makes the
    tables then. What no waiting mends (an unknown database, a wrong password, a file that cannot be opened) is an
    error always.
    """
    try:
        await to_thread.run_sync(_open_file_once, engine.url)
        await make_tables(engine)
    except DATABASE_ERRORS as error:
        if is_required or engine.dialect.name == "sqlite" or not is_unreachable(error):
            reason = str(error) or f"it does not answer within {TIMEOUT_S:g} s"
            raise SettingsError(f"PARLEY_DATABASE_URL: the database cannot be opened: {reason}") from error
        _log.error("the database does not answer; starting without it", kind=type(error).__name__)
        return False
    return True


async def reopen(engine: AsyncEngine) -> None:
    """Drop all connections and make missing tables; a damaged SQLite file is moved aside.

    So writing resumes after the file was deleted or damaged while the service runs. Raises DATABASE_ERRORS.
    """
    await engine.dispose()
    try:
        await to_thread.run_sync(_open_file_once, engine.url)
        await make_tables(engine)
    except (DBAPIError, sqlite3.Error) as error:
        if not _is_damaged(error):
            raise
        await engine.dispose()
        await to_thread.run_sync(_move_aside, Path(engine.url.database or ""))
        await to_thread.run_sync(_open_file_once, engine.url)
        await make_tables(engine)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Not cancelled from outside; a database that does not answer is a TimeoutError.

    An aiosqlite connection that is cancelled in the middle never finishes closing, and the process with it.
    """
    with anyio.fail_after(TIMEOUT_S, shield=True):
        async with engine.begin() as connection:
            yield connection


@contextmanager
def as_busy(name: str) -> Iterator[None]:
    """A database that is unavailable is ProviderBusy, in the name of what is stored in it."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise ProviderBusy(name, UNAVAILABLE) from error


def stored_moment(at: datetime) -> str:
    """As it is stored; a time without an offset is UTC. What lies outside the years 1 to 9999 in UTC is their end."""
    try:
        moment = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        moment = datetime.min.replace(tzinfo=UTC) if at.year == 1 else datetime.max.replace(tzinfo=UTC)
    return moment.isoformat(timespec="milliseconds")


def is_fault_of_row(error: Exception) -> bool:
    """Whether this one row can never be written, as opposed to a database that is unavailable."""
    if isinstance(error, IntegrityError | DataError):
        return True
    if isinstance(error, DBAPIError) and "Error binding parameter" in str(error.orig):  # SQLite: a value of no SQL type
        return True
    if isinstance(error, DBAPIError):  # PostgreSQL: classes "data exception" and "integrity constraint violation"
        return _sqlstate_class(error) in ("22", "23")
    return isinstance(error, StatementError | ValueError | TypeError)


def is_locked(error: Exception) -> bool:
    """Whether another process holds SQLite's lock."""
    return isinstance(error, DBAPIError) and _sqlite_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_unreachable(error: Exception) -> bool:
    """Whether a database server does not answer now, as in a failover, as opposed to one that refuses this client."""
    if isinstance(error, gaierror):
        return error.errno == EAI_AGAIN
    if isinstance(error, DBAPIError):  # PostgreSQL: connection lost, too many connections, starting up or shutting down
        return _sqlstate_class(error) in ("08", "53", "57")
    return isinstance(error, OSError)


async def make_tables(engine: AsyncEngine) -> None:
    """One after the other: another process may be making the same ones, and may be ahead with any of them."""
    for table in Table.metadata.tables.values():
        try:
            await _make(engine, table)
        except (IntegrityError, OperationalError, ProgrammingError):  # another process has made it just before
            await _make(engine, table)


async def _make(engine: AsyncEngine, table: SqlTable) -> None:
    async with transaction(engine) as connection:
        await connection.run_sync(partial(Table.metadata.create_all, tables=[table]))
        if table is ExpenseRow.__table__:
            await connection.run_sync(_add_uid)


def _add_uid(connection: Connection) -> None:
    """The expenses of releases before 1.0 had no `uid`."""
    if not any(column["name"] == "uid" for column in inspect(connection).get_columns("expenses")):
        connection.execute(text("ALTER TABLE expenses ADD COLUMN uid VARCHAR"))
        connection.execute(text("CREATE UNIQUE INDEX IF NOT EXISTS expenses_uid ON expenses (uid)"))


def _open_file_once(url: URL) -> None:
    """Open SQLite's file without aiosqlite, which leaves a thread behind where it cannot be opened."""
    if url.get_backend_name() == "sqlite" and url.database:
        sqlite3.connect(url.database).close()


def _is_damaged(error: DBAPIError | sqlite3.Error) -> bool:
    return _sqlite_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _sqlstate_class(error: DBAPIError) -> str:
    """The first two characters of PostgreSQL's error code; empty where there is none."""
    return str(getattr(error.orig, "sqlstate", None) or "")[:2]


def _sqlite_code(error: DBAPIError | sqlite3.Error) -> int | None:
    """SQLite's primary result code, where it is an error of SQLite."""
    code = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _move_aside(path: Path) -> None:
    """Keep the damaged file for whoever wants to repair it."""
    kept = path.with_name(f"{path.name}.damaged-{int(time.time())}")
    path.replace(kept)
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    _log.error("damaged database moved aside, a new one is begun", kept=str(kept))
