"""Opens the database with the schema that this program needs, and says what an error of it means."""

import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from socket import EAI_AGAIN, gaierror
from typing import Any

import anyio
import structlog
from anyio import to_thread
from sqlalchemy import event, make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.data.connection_pool import ClosingPool
from app.data.schema import SchemaStep, WrongSchema, next_step, read_schema
from app.data.schema_change import CONNECT_TIMEOUT_S, make_or_upgrade, upgrades_itself
from app.data.sqlite_file import open_file_once
from app.domain.errors import ProviderBusy, SettingsError

TIMEOUT_S = 15.0
"""How long a database may take for one transaction."""

LOCK_TIMEOUT_S = 1.0
"""How long SQLite waits for a lock of another process."""

BACKENDS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
"""How the URL of each begins."""

UNAVAILABLE = "the database is unavailable; try again in a moment"
"""What a client is told."""

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError, WrongSchema)

_log = structlog.get_logger("parley.database")


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[AsyncEngine]:
    """The database at this URL, with the schema that this program needs. Raises SettingsError."""
    async with open_engine(url) as engine:
        await prepare(engine)
        yield engine


@asynccontextmanager
async def open_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """The engine for this URL; nothing is asked of the database yet. Raises SettingsError."""
    try:
        kind = make_url(url).get_backend_name()
        if kind not in BACKENDS:
            raise SettingsError(f"PARLEY_DATABASE_URL: {kind} is not supported; {' and '.join(BACKENDS.values())} are")
        is_sqlite = kind == "sqlite"
        arguments: dict[str, Any] = {"timeout": LOCK_TIMEOUT_S if is_sqlite else CONNECT_TIMEOUT_S}
        engine = create_async_engine(url, poolclass=ClosingPool, pool_pre_ping=True, connect_args=arguments)
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise SettingsError(f"PARLEY_DATABASE_URL: {error}") from error
    if is_sqlite and engine.url.database in {None, "", ":memory:"}:
        raise SettingsError("PARLEY_DATABASE_URL: SQLite needs the name of a file")
    if is_sqlite:
        event.listen(engine.sync_engine, "connect", _overwrite_what_is_deleted)
    try:
        yield engine
    finally:
        await _close_connections(engine)


async def prepare(engine: AsyncEngine, *, is_required: bool = True) -> bool:
    """Make the tables of an empty database, upgrade an older SQLite file: whether the database answers.

    Raises SettingsError. False, within TIMEOUT_S, only where it is not required and is a server that does not answer
    now; `reopen` makes the tables then. What no waiting mends (an unknown database, a wrong password, another schema,
    a file that cannot be opened) is an error always.
    """
    try:
        await to_thread.run_sync(open_file_once, engine.url)
        await _make_or_upgrade_schema(engine)
    except WrongSchema:
        raise
    except DATABASE_ERRORS as error:
        if is_required or engine.dialect.name == "sqlite" or not is_unreachable(error):
            reason = str(error) or "it does not answer in time"
            raise SettingsError(f"PARLEY_DATABASE_URL: the database cannot be opened: {reason}") from error
        _log.error("the database does not answer; starting without it", kind=type(error).__name__)
        return False
    return True


async def reopen(engine: AsyncEngine) -> None:
    """Drop all connections and make missing tables; a damaged SQLite file is moved aside.

    So writing resumes after the file was deleted or damaged while the service runs. Raises DATABASE_ERRORS.
    """
    await _close_connections(engine)
    try:
        await to_thread.run_sync(open_file_once, engine.url)
        await _make_or_upgrade_schema(engine)
    except WrongSchema as error:
        _log_once(str(error))
        raise
    except (DBAPIError, sqlite3.Error) as error:
        if not _is_damaged(error):
            raise
        await _close_connections(engine)
        await to_thread.run_sync(_move_aside, Path(engine.url.database or ""))
        await to_thread.run_sync(open_file_once, engine.url)
        await _make_or_upgrade_schema(engine)


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


@cache
def _log_once(problem: str) -> None:
    """Once in this process, however often the database is opened anew."""
    _log.error(problem)


async def _make_or_upgrade_schema(engine: AsyncEngine) -> None:
    """Where that is due; else it is one query. Raises WrongSchema and DATABASE_ERRORS."""
    try:
        async with transaction(engine) as connection:
            found = await connection.run_sync(read_schema)
    except DBAPIError as error:
        if not is_locked(error):
            raise
    else:
        if next_step(found, upgrades_itself=upgrades_itself(engine.url)) is SchemaStep.KEEP:
            return
    await make_or_upgrade(engine.url)  # which waits for the process that holds the lock
    await _close_connections(engine)  # because a connection remembers the tables of before


async def _close_connections(engine: AsyncEngine) -> None:
    """Not cancelled from outside, for the reason that `transaction` gives."""
    with anyio.CancelScope(shield=True):
        await engine.dispose()


def _overwrite_what_is_deleted(connection: Any, _: object) -> None:
    """Debian's SQLite does so by default, others do not."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


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
