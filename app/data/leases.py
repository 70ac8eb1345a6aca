"""Leases in the database: a row for each kind of work, held by one process until a moment that it puts off."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import stored_moment
from app.data.recording_tables import LeaseRow
from app.data.reopening import reopening
from app.domain.lease import LeaseStatus


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """Every method raises ProviderBusy where the database is unavailable. Clocks may differ by less than a lease."""

    engine: AsyncEngine
    holder: str = field(default_factory=lambda: secrets.token_hex(16))
    """This process."""

    async def take(self, work: str, seconds: float, *, progress: int = 0) -> bool:
        """Take this work, or hold it for longer. False where another process holds it."""
        now = datetime.now(UTC)
        values = {
            "holder": self.holder,
            "until": stored_moment(now + timedelta(seconds=seconds)),
            "progress": progress,
        }
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        taken = (
            insert(LeaseRow)
            .values(name=work, **values)
            .on_conflict_do_update(
                index_elements=["name"],
                set_=values,
                where=or_(LeaseRow.holder == self.holder, LeaseRow.until <= stored_moment(now)),
            )
            .returning(LeaseRow.name)
        )
        async with reopening(self.engine, "leases") as connection:
            return (await connection.execute(taken)).first() is not None

    async def release(self, work: str, *, completed: bool) -> None:
        """Let others have it. Nothing happens where it is another's by now."""
        now = stored_moment(datetime.now(UTC))
        values = {"until": now, **({"completed": now} if completed else {})}
        own = update(LeaseRow).where(LeaseRow.name == work, LeaseRow.holder == self.holder).values(values)
        async with reopening(self.engine, "leases") as connection:
            await connection.execute(own)

    async def status(self, work: str) -> LeaseStatus:
        query = select(LeaseRow.completed, LeaseRow.progress).where(LeaseRow.name == work)
        async with reopening(self.engine, "leases") as connection:
            row = (await connection.execute(query)).first()
        return LeaseStatus(row is not None and row.completed is not None, row.progress if row else 0)
