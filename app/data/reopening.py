"""Transactions that open the database anew after they failed: it may have been restarted, deleted or damaged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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
        if not is_locked(error):
            with suppress(*DATABASE_ERRORS):  # the next one tries again
                await reopen(engine)
        raise ProviderBusy(name, UNAVAILABLE) from error
