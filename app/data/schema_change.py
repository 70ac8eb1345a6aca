"""Makes, upgrades and downgrades the schema: one process at a time, in one transaction, SQLite after a backup."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import structlog
from anyio import to_thread
from sqlalchemy import URL, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.data.schema import VERSIONS, SchemaState, SchemaStep, create_schema, next_step, read_schema, require_known
from app.data.sqlite_file import back_up, open_file_once, require_folder
from app.domain.errors import SettingsError

LOCK_WAIT_S = 60
"""How long to wait for another process that changes the schema, and on PostgreSQL for transactions on a table."""

CONNECT_TIMEOUT_S = 5.0
"""How long PostgreSQL may take to accept a connection: where packets are swallowed, a start waits for so long, and the
end of the service a few times as long."""

TIMEOUT_S = 3600.0
"""How long a change of the schema may take."""

BASE = "base"
"""The version of a database without tables."""

_LOCK = 0x5061726C6579
"""Of PostgreSQL's advisory lock."""

_log = structlog.get_logger("parley.database")


@dataclass(frozen=True, slots=True)
class SchemaChange:
    before: SchemaState
    after: str
    backup: Path | None
    """None where there was nothing to keep, and on PostgreSQL."""


async def make_or_upgrade(url: URL) -> None:
    """What a start has to do. Raises WrongSchema and DATABASE_ERRORS; then nothing has changed."""
    change = None
    async with _exclusive(url) as connection:
        found = await connection.run_sync(read_schema)
        match next_step(found, upgrades_itself=upgrades_itself(url)):
            case SchemaStep.KEEP:  # another process was faster
                pass
            case SchemaStep.CREATE:
                await connection.run_sync(create_schema)
            case SchemaStep.UPGRADE:
                change = await _migrate(connection, found, VERSIONS[-1])
    if change:
        _log.warning("database upgraded", before=str(change.before), after=change.after, backup=str(change.backup))


async def upgrade(url: URL, version: str = VERSIONS[-1]) -> SchemaChange:
    """To this version, or the newest. Raises SettingsError and DATABASE_ERRORS; then nothing has changed."""
    async with _exclusive(url) as connection:
        found = await connection.run_sync(read_schema)
        require_known(found)
        if found.version is not None and found.version > version:
            raise SettingsError(
                f"the schema is {found}, newer than {version}; `parley db downgrade {version}` goes back"
            )
        return await _migrate(connection, found, version)


async def downgrade(url: URL, version: str) -> SchemaChange:
    """To this version; BASE removes all tables. Raises SettingsError and DATABASE_ERRORS; then nothing has changed."""
    async with _exclusive(url) as connection:
        found = await connection.run_sync(read_schema)
        require_known(found)
        if found.version is None or (version != BASE and found.version < version):
            raise SettingsError(f"the schema is {found}: there is no way back from it to {version}")
        return await _migrate(connection, found, version, back=True)


async def current(url: URL) -> SchemaState:
    """Raises DATABASE_ERRORS. An SQLite file that is not there is empty, and is not made."""
    await to_thread.run_sync(require_folder, url)
    if upgrades_itself(url) and not await anyio.Path(url.database or "").exists():
        return SchemaState(None, frozenset())
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_TIMEOUT_S})
    with anyio.CancelScope(shield=True):  # for the reason that `app.data.database:transaction` gives
        async with engine.connect() as connection:
            state = await connection.run_sync(read_schema)
    return state


def upgrades_itself(url: URL) -> bool:
    """Whether a start upgrades an old schema: not PostgreSQL's, where processes of the old release may be running."""
    return url.get_backend_name() == "sqlite"


async def _migrate(
    connection: AsyncConnection, found: SchemaState, version: str, *, back: bool = False
) -> SchemaChange:
    if found.version == version:
        return SchemaChange(found, version, None)
    backup, url = None, connection.engine.url
    if upgrades_itself(url) and not found.is_empty:
        backup = await to_thread.run_sync(back_up, Path(url.database or ""), version)
    migration: Any = await to_thread.run_sync(import_module, "app.data.migration")
    await connection.run_sync(migration.migrate, version, back=back)
    return SchemaChange(found, version, backup)


@asynccontextmanager
async def _exclusive(url: URL) -> AsyncIterator[AsyncConnection]:
    """A transaction that waits until no other process has one. It is not cancelled from outside.

    SQLite's driver begins none before a statement like CREATE TABLE, hence the explicit BEGIN.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    await to_thread.run_sync(open_file_once, url)
    wait_s = LOCK_WAIT_S if is_sqlite else CONNECT_TIMEOUT_S
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": wait_s})
    with anyio.fail_after(TIMEOUT_S, shield=True):
        async with engine.begin() as connection:
            if is_sqlite:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            yield connection
