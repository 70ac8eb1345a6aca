"""Takes the words of deleted rows out of the files of an SQLite database, soon after a deletion.

A row that leaves a table of FTS5 is only marked there: its words stay in the segments of the index, with their
positions, until the segments are merged. (FTS5's own `secure-delete` needs SQLite 3.42, and makes a file that earlier
ones cannot read.) So everything is merged into one segment, a few pages in each transaction, which makes live writers
wait for some tens of milliseconds at most. Processes that do so at once share the work, and a merged index costs
nothing. SQLite overwrites the pages that become free (`secure_delete`); a write-ahead log is emptied.

PostgreSQL does the like by itself, in autovacuum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import structlog
from anyio import to_thread
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import TIMEOUT_S, as_busy, transaction
from app.data.sqlite_file import copies_of
from app.data.tables import MESSAGE_TEXTS, TITLES
from app.domain.errors import ProviderBusy

FULL_TEXT_TABLES = ("recording_words", TITLES.name, MESSAGE_TEXTS.name)
STEP_PAGES = 500
"""What one transaction merges."""
SOON_S = 10.0
"""From the first deletion to the merge, which is one for all deletions until then; and between attempts."""

WORDS_REMAIN = (
    "words in the full-text index of the database file, which no search finds: until the service has merged the index, "
    "half a minute from now, or after its next start"
)

_log = structlog.get_logger("parley.database")


@dataclass(slots=True)
class FullTextPurge:
    engine: AsyncEngine
    soon_s: float = SOON_S
    _requested: anyio.Event = field(default_factory=anyio.Event)

    async def request(self) -> Sequence[str]:
        """Something was deleted: purge soon. What remains of it in files of the database, a sentence each."""
        if self.engine.dialect.name != "sqlite":
            return ()
        self._requested.set()
        copies = await to_thread.run_sync(copies_of, Path(self.engine.url.database or ""))
        return (WORDS_REMAIN, *(f"the copy {copy.name} beside the database: until you delete it" for copy in copies))

    async def run(self) -> None:
        """Purge at the start, for the process that was here before, and soon after each request; for ever."""
        if self.engine.dialect.name != "sqlite":
            return
        while True:
            self._requested = anyio.Event()
            try:
                await self.purge()
            except ProviderBusy as error:
                _log.warning("words of deleted rows cannot be purged now", reason=str(error))
            else:
                await self._requested.wait()
            await anyio.sleep(self.soon_s)

    async def purge(self) -> None:
        """Take out the words of everything that is deleted by now. Raises ProviderBusy; then part of it is done."""
        with as_busy("full text"):
            for table in FULL_TEXT_TABLES:
                pages = -STEP_PAGES  # the sign begins a merge of all segments, however few they are
                while await self._merge(table, pages):
                    pages = STEP_PAGES
            await self._empty_log()

    async def _merge(self, table: str, pages: int) -> bool:
        """One step. False where nothing is left to merge, which SQLite tells by fewer than two changes."""
        changes = text("SELECT total_changes()")
        async with transaction(self.engine) as connection:
            before: int = (await connection.execute(changes)).scalar_one()
            merge = text(f"INSERT INTO {table} ({table}, rank) VALUES ('merge', :pages)")  # noqa: S608 because it is a constant
            await connection.execute(merge, {"pages": pages})
            after: int = (await connection.execute(changes)).scalar_one()
        return after - before > 1

    async def _empty_log(self) -> None:
        """Of a file in WAL mode, whose log has pages of before. Raises ProviderBusy while another one reads there."""
        with anyio.fail_after(TIMEOUT_S, shield=True):  # for the reason that `transaction` gives
            async with self.engine.connect() as connection:
                direct = await connection.execution_options(isolation_level="AUTOCOMMIT")
                is_busy = (await direct.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()[0]
        if is_busy:
            raise ProviderBusy("full text", "another connection is reading the database")
