"""Live sessions of all processes on one database: each process has a row, renewed every few seconds."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import as_busy, stored_moment, transaction
from app.data.tables import LiveProcessRow

GOOD_FOR = timedelta(seconds=30)
"""A row that was not renewed for so long is of a process that died; clocks may differ by less."""
FORGET_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LiveSessionTable:
    """Every method raises ProviderBusy where the database is unavailable."""

    engine: AsyncEngine
    process: str = field(default_factory=lambda: secrets.token_hex(16))
    """Of this process alone."""

    async def announce(self, sessions: Collection[str]) -> None:
        """These are live in this process, and no others; good for half a minute."""
        now = datetime.now(UTC)
        values = {"seen": stored_moment(now), "sessions": msgspec.json.encode(sorted(sessions)).decode()}
        with as_busy("live sessions"):
            async with transaction(self.engine) as connection:
                own = update(LiveProcessRow).where(LiveProcessRow.process == self.process).values(values)
                if not (await connection.execute(own)).rowcount:
                    await connection.execute(insert(LiveProcessRow).values({"process": self.process, **values}))
                await connection.execute(
                    delete(LiveProcessRow).where(LiveProcessRow.seen < stored_moment(now - FORGET_AFTER))
                )

    async def everywhere(self) -> frozenset[str]:
        """Live in any process, as far as announced."""
        since = stored_moment(datetime.now(UTC) - GOOD_FOR)
        with as_busy("live sessions"):
            async with transaction(self.engine) as connection:
                rows = await connection.execute(select(LiveProcessRow.sessions).where(LiveProcessRow.seen >= since))
                return frozenset(session for (text,) in rows for session in msgspec.json.decode(text, type=list[str]))
