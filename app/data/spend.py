"""Spending per day and tenant that several processes share: each process keeps the rows of its own sums.

A row is replaced, never added to, so that a write may be repeated: after an answer that was lost, or once a database
that was unavailable is back. The sum of all rows is the spending of the day.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import DATABASE_ERRORS, as_busy, is_locked, reopen, stored_moment, transaction
from app.data.pruning import delete_in_batches
from app.data.tables import SpendRow
from app.domain.errors import ProviderBusy


@dataclass(slots=True)
class SpendTable:
    engine: AsyncEngine
    process: str = field(default_factory=lambda: uuid4().hex)
    """Whose rows it writes; every start of a process has a name of its own."""

    async def publish(self, spent: Mapping[tuple[str, str], float]) -> None:
        """Replace this process's sums, in US dollars, by day (like 2026-01-31) and tenant. Raises ProviderBusy."""
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        rows = [
            {"day": day, "tenant": tenant, "process": self.process, "usd": usd} for (day, tenant), usd in spent.items()
        ]
        statement = insert(SpendRow)
        replace = statement.on_conflict_do_update(
            index_elements=["day", "tenant", "process"], set_={"usd": statement.excluded.usd}
        )
        async with self._as_busy(), transaction(self.engine) as connection:
            await connection.execute(replace, rows)

    async def spent_by_others(self, day: str) -> dict[str, float]:
        """US dollars per tenant that all other processes spent on this day, ended ones too. Raises ProviderBusy."""
        query = (
            select(SpendRow.tenant, func.sum(SpendRow.usd).label("usd"))
            .where(SpendRow.day == day, SpendRow.process != self.process)
            .group_by(SpendRow.tenant)
        )
        async with self._as_busy(), transaction(self.engine) as connection:
            return {line.tenant: line.usd for line in await connection.execute(query)}

    async def prune(self, before: datetime) -> None:
        """Delete the spending of days before this one, of every process. Raises ProviderBusy."""
        with as_busy("spend"):
            await delete_in_batches(self.engine, SpendRow, SpendRow.day < stored_moment(before)[:10])

    @asynccontextmanager
    async def _as_busy(self) -> AsyncIterator[None]:
        """A database error as ProviderBusy; connections that broke, and tables that are gone, are made anew."""
        try:
            yield
        except DATABASE_ERRORS as error:
            busy = ProviderBusy("spend", "the database is unavailable")
            if not is_locked(error):
                try:
                    await reopen(self.engine)
                except DATABASE_ERRORS:
                    raise busy from error
            raise busy from error
