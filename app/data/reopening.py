"""Transactions that open the database anew after they failed: it may have been restarted, deleted or damaged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.data.database import DATABASE_ERRORS, UNAVAILABLE, is_locked, reopen, transaction
from app.domain.errors import ProviderBusy


@asynccontextmanager
async def reopening(engine: AsyncEngine, name: str) -> AsyncIterator[AsyncConnection]:
    """A transaction; where it fails the next one finds new connections, and tables that were gone are made.

    Raises ProviderBusy in the name of what is stored there.
    """
    try:
        async with transaction(engine) as connection:
            yield connection
    except DATABASE_ERRORS as error:
        busy = ProviderBusy(name, UNAVAILABLE)
        if not is_locked(error):
            try:
                await reopen(engine)
            except DATABASE_ERRORS:
                raise busy from error
        raise busy from error
