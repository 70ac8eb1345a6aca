"""Deletes rows by age, a few at a time, so that nobody waits long for a table."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import structlog
from sqlalchemy import ColumnElement, delete, inspect, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import transaction
from app.data.tables import Table
from app.domain.errors import ProviderBusy

BATCH = 1000
"""Rows that one transaction deletes."""
PRUNE_EVERY_S = 3600.0

_log = structlog.get_logger("parley.database")


async def delete_in_batches(engine: AsyncEngine, table: type[Table], condition: ColumnElement[bool]) -> None:
    """Delete the rows that it is true of. Raises DATABASE_ERRORS; what was deleted by then is gone."""
    columns = inspect(table).primary_key
    key: Any = columns[0] if len(columns) == 1 else tuple_(*columns)
    some = delete(table).where(key.in_(select(*columns).where(condition).limit(BATCH)))
    while True:
        async with transaction(engine) as connection:
            deleted = (await connection.execute(some)).rowcount
        if deleted < BATCH:
            return
        await anyio.lowlevel.checkpoint()


async def prune_loop(what: str, prune: Callable[[datetime], Awaitable[None]], keep_days: int) -> None:
    """Delete what is older than so many days, every hour; 0 keeps all."""
    while keep_days:
        try:
            await prune(datetime.now(UTC) - timedelta(days=keep_days))
        except ProviderBusy as error:
            _log.warning("old rows cannot be deleted now", rows=what, reason=str(error))
        await anyio.sleep(PRUNE_EVERY_S)
